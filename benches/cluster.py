#!/usr/bin/env python3
"""What it costs to compute on two nodes instead of two threads of one.

    benches/cluster.py target/release/otklik [EVENTS] [ROUNDS]

Makes EVENTS (default 1,000,000) generated events, and gives them once to a node of its own, once in
halves to two nodes on loopback. Then starts either by turns, ROUNDS times (default 5): how long until
the figures are current, read from the logs, and what CPU the workers took; and for the cluster, what
went over the workers' connections. Medians.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

from usage import usage

PROGRAM = os.path.abspath(sys.argv[1])
EVENTS = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
ROUNDS = int(sys.argv[3]) if len(sys.argv) > 3 else 5
BATCH = 20_000


def start(data, port, workers, process=None):
    command = [PROGRAM, "serve", "--data", data, "--listen", f"127.0.0.1:{port}", "--workers", str(workers)]
    if process is not None:
        command += ["--hosts", "127.0.0.1:7510,127.0.0.1:7511", "--process", str(process)]
    # Without checkpoints, which a cluster does not have.
    variables = {**os.environ, "OTKLIK_CHECKPOINT_EVENTS": "0"}
    return subprocess.Popen(command, env=variables, stderr=subprocess.DEVNULL)


def get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return json.load(answer)
    except (OSError, ValueError):
        return None


def send(port, lines):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/events", data="\n".join(lines).encode())
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["epoch"]
        except OSError:
            time.sleep(0.05)


def current(ports, epoch):
    """Waits until all serve the epoch."""
    while True:
        served = [(get(port, "/v1/status") or {}).get("epoch") for port in ports]
        if all(one is not None and one >= epoch for one in served):
            return
        time.sleep(0.01)


def cpu(port):
    """Seconds of CPU of the worker, of its start too."""
    pid = get(port, "/v1/status")["worker"]["pid"]
    return usage(pid)[1], pid


def sent(pid):
    """Bytes that a worker has sent over TCP."""
    text = subprocess.run(["ss", "-tinpO"], capture_output=True, text=True, check=True).stdout
    lines = [line for line in text.splitlines() if f"pid={pid}," in line]
    return sum(int(word.split(":")[1]) for line in lines for word in line.split() if word.startswith("bytes_sent:"))


def stop(nodes):
    for node in nodes:
        node.terminate()
    for node in nodes:
        node.wait()


def main():
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(
            [PROGRAM, "generate", "--events", str(EVENTS), "--seed", "1", "--out", directory],
            check=True, stderr=subprocess.DEVNULL,
        )
        with open(f"{directory}/reference.ndjson") as file:
            reference = file.read().splitlines()
        with open(f"{directory}/events.ndjson") as file:
            events = file.read().splitlines()
        kinds = {
            "one node, two workers": [(f"{directory}/alone", 8450, 2, None)],
            "two nodes, one worker each": [(f"{directory}/{n}", 8451 + n, 1, n) for n in range(2)],
        }
        ends = {}
        for kind, nodes in kinds.items():
            running = [start(*node) for node in nodes]
            ports = [port for _, port, _, _ in nodes]
            epoch = 0
            for lines in [reference, events]:
                for n, first in enumerate(range(0, len(lines), BATCH)):
                    epoch = max(epoch, send(ports[n % len(ports)], lines[first:first + BATCH]))
            current(ports, epoch)
            ends[kind] = epoch
            stop(running)
        times = {kind: [] for kind in kinds}
        for _ in range(ROUNDS):
            for kind, nodes in kinds.items():
                ports = [port for _, port, _, _ in nodes]
                since = time.monotonic()
                running = [start(*node) for node in nodes]
                current(ports, ends[kind])
                took = time.monotonic() - since
                used = [cpu(port) for port in ports]
                wire = sum(sent(pid) for _, pid in used) if len(nodes) > 1 else 0
                times[kind].append((took, sum(seconds for seconds, _ in used), wire))
                stop(running)
        total = len(reference) + len(events)
        for kind, runs in times.items():
            took, used, wire = (statistics.median(run[n] for run in runs) for n in range(3))
            print(f"{kind}: {took:.2f} s until current, {total / took:,.0f} events/s, "
                  f"workers {used:.2f} s of CPU, {wire / total:.0f} bytes an event between them")


main()
