#!/usr/bin/env python3
"""How long a start takes after a kill, from the checkpoint that is there.

    benches/starts.py target/release/otklik DATA [TIMES] [--checkpoint]

Starts a node on DATA with a horizon of 90 days, waits until its figures are current, kills it with SIGKILL, and does so
TIMES times (default 5). A line for each: seconds on the wall and of the CPUs, megabytes resident of worker and node
then. With --checkpoint the node is left to make a checkpoint first, if it has none. Other settings (OTKLIK_WORKERS,
LD_PRELOAD) are those of the environment.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request

from usage import usage

PROGRAM, DATA = os.path.abspath(sys.argv[1]), sys.argv[2]
TIMES = int(next(iter(word for word in sys.argv[3:] if word.isdigit()), 5))


def start(checkpoint_events):
    variables = {**os.environ, "OTKLIK_CHECKPOINT_EVENTS": str(checkpoint_events), "OTKLIK_WORKER_SILENT_SECONDS": "86400"}
    variables.setdefault("OTKLIK_RULES_HORIZON_DAYS", "90")
    started = time.time()
    node = subprocess.Popen(
        [PROGRAM, "serve", "--data", DATA, "--listen", "127.0.0.1:0"],
        env=variables, stderr=subprocess.PIPE, text=True,
    )
    url = next("http://" + line.split("http://")[1].strip() for line in node.stderr if "http://" in line)
    # What else it says is of no interest, but must go somewhere.
    subprocess.Popen(["cat"], stdin=node.stderr, stdout=subprocess.DEVNULL)
    return node, url, started


def get(url, path):
    try:
        with urllib.request.urlopen(url + path, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError:
        return None


def main():
    if "--checkpoint" in sys.argv:
        node, url, _ = start(1)
        while not (get(url, "/v1/status") or {}).get("checkpoint"):
            time.sleep(0.5)
        print(json.dumps(get(url, "/v1/status")["checkpoint"]), flush=True)
        node.send_signal(signal.SIGKILL)
        node.wait()
    walls = []
    for _ in range(TIMES):
        node, url, started = start(0)
        while get(url, "/readyz") is None:
            time.sleep(0.02)
        wall = time.time() - started
        status = get(url, "/v1/status")
        (worker, of_worker), (own, of_node) = usage(status["worker"]["pid"]), usage(node.pid)
        print(f"{wall:.2f} s, CPU {of_worker:.2f} + {of_node:.2f} s, worker {worker:.0f} MB, node {own:.0f} MB", flush=True)
        walls.append(wall)
        node.send_signal(signal.SIGKILL)
        node.wait()
    print(f"median {statistics.median(walls):.2f} s")


main()
