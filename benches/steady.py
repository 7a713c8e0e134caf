#!/usr/bin/env python3
"""Whether memory stays steady while a node runs: ratings come for an hour, and as many records close as begin.

    benches/steady.py target/release/otklik [MINUTES] [RATE]

The node's wall clock goes SPEED times as fast (Debian's package faketime, which divides what is waited for as
well: the node's CPU is no measure), so that in an hour it tells 20 days of hours; its horizon is 5 days, its other settings are the demo's. RATE (default 1,000) generated
events a second are replayed for MINUTES (default 60). Every 30 s: what is resident of node and worker, and
how many cells the ratings sent so far make. The log of the node says how many records are open at each checkpoint.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import date, timedelta

from usage import usage

PROGRAM = os.path.abspath(sys.argv[1])
MINUTES = float(sys.argv[2]) if len(sys.argv) > 2 else 60
RATE = int(sys.argv[3]) if len(sys.argv) > 3 else 1000
SPEED, HORIZON_DAYS, SAMPLE_S = 480, 5, 30
# Epochs of a tenth of a second by any other clock.
SETTINGS = {"EPOCH_MS": 100 * SPEED, "RULES_HORIZON_DAYS": HORIZON_DAYS, "CHECKPOINT_EVENTS": 500_000}


def fast_clock():
    """Makes the wall clock of a process go SPEED times as fast: libfaketime, of Debian's package faketime."""
    files = subprocess.run(["dpkg", "-L", "libfaketime"], capture_output=True, text=True, check=True).stdout
    library = next(path for path in files.split() if path.endswith("/libfaketimeMT.so.1"))
    return {"LD_PRELOAD": library, "FAKETIME": f"+0 x{SPEED}", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


def get(url, path):
    with urllib.request.urlopen(url + path, timeout=60) as answer:
        return answer.read().decode()


def cells(path, counts):
    """How many cells the ratings in the first so many lines make, for each of `counts` (rising)."""
    facts, replied, known, result, wanted = {}, {}, set(), [], list(counts)
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            while wanted and wanted[0] <= number:
                wanted.pop(0)
                result.append(len(known))
            if not wanted:
                break
            event = json.loads(line)
            kind, record, day = event.get("type"), event.get("record"), (event.get("received_at") or "")[:10]
            if kind == "fact":
                facts[record] = (event["unit"], event["service"], event.get("mfc"))
                if record in replied:
                    known.add((*facts[record], replied[record], False))
            elif kind in ("sms", "survey"):
                replied.setdefault(record, day)
                if record in facts:
                    known.add((*facts[record], replied[record], False))
            elif kind in ("kiosk", "epgu"):
                fact = facts.get(record, (None, None, None))
                place = (event.get("unit") or fact[0], event.get("service") or fact[1], event.get("mfc"))
                known.add((*place, day, kind == "epgu"))
    return result + [len(known)] * len(wanted)


def main():
    with tempfile.TemporaryDirectory() as directory:
        days = MINUTES * SPEED // (24 * 60) + 1
        today = date.today()
        files = ["--out", directory, "--from", today.isoformat(), "--until", (today + timedelta(days)).isoformat()]
        # Evenly over all days, so that they come as fast as the clock goes.
        events = int(days * 24 * 60 / SPEED * 60 * RATE)
        subprocess.run([PROGRAM, "generate", "--events", str(events), "--seed", "1", *files], check=True)
        variables = {f"OTKLIK_{key}": str(value) for key, value in SETTINGS.items()}
        variables = {**os.environ, **variables, **fast_clock()}
        said = open(f"{directory}/said", "w+", encoding="utf-8")
        serve = ["serve", "--data", f"{directory}/data", "--listen", "127.0.0.1:0"]
        node = subprocess.Popen([PROGRAM, *serve], env=variables, stderr=said)
        url = None
        while url is None:
            time.sleep(0.1)
            with open(said.name, encoding="utf-8") as text:
                url = next(iter(re.findall(r"http://[\d.:]+", text.read())), None)
        inputs = [f"{directory}/reference.ndjson", f"{directory}/events.ndjson"]
        replay = [PROGRAM, "replay", "--to", url, "--rate", str(RATE), "--input", *inputs]
        sender = subprocess.Popen(replay, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while json.loads(get(url, "/v1/status"))["worker"]["pid"] is None:
            time.sleep(0.1)
        started, samples = time.time(), []
        try:
            while time.time() < started + 60 * MINUTES + 1 and sender.poll() is None:
                samples.append(sample(started, url, node.pid))
                print(*(f"{one:.1f}" for one in samples[-1]), flush=True)
                time.sleep(SAMPLE_S - (time.time() - started) % SAMPLE_S)
        finally:
            sender.kill()
            node.terminate()
            node.wait()
        with open(inputs[0], encoding="utf-8") as lines:
            reference = sum(1 for _ in lines)
        made = cells(inputs[1], [max(0, taken - reference) for _, taken, *_ in samples])
        print("\n| minute | events, k | cells, k | worker, MB | node, MB | CPU of both, s |\n|" + "---:|" * 6)
        for (seconds, taken, worker, own, cpu), count in zip(samples, made):
            columns = [f"{seconds / 60:.1f}", f"{taken / 1000:.0f}", f"{count / 1000:.0f}"]
            print("|", " | ".join([*columns, f"{worker:.0f}", f"{own:.0f}", f"{cpu:.0f}"]), "|")
        print()
        with open(said.name, encoding="utf-8") as lines:
            print(*(line.strip() for line in lines if "checkpoint" in line or "WARN" in line or "ERROR" in line), sep="\n")


def sample(started, url, pid):
    """`(seconds, events in the log, worker MB, node MB, CPU seconds of both)`."""
    status = json.loads(get(url, "/v1/status"))
    taken = int(re.search(r"^otklik_log_events (\d+)", get(url, "/metrics"), re.M)[1])
    (worker, of_worker), (own, of_node) = usage(status["worker"]["pid"]), usage(pid)
    return time.time() - started, taken, worker, own, of_worker + of_node


main()
