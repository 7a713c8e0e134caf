"""Runs programs by turns over the same events and prints medians and paired ratios; see scripts/bench."""

import filecmp
import os
import statistics
import subprocess
import sys
import time

target, data, events, runs, before = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
usual = ["--as-of", "2019-01-01", "--input", f"{data}/reference.ndjson", f"{data}/events.ndjson"]
programs = {
    "yardstick": [f"{target}/examples/yardstick"],
    "compute, 1 worker": [f"{target}/otklik", "compute"],
    "compute, 2 workers": [f"{target}/otklik", "compute", "--workers", "2"],
}
if before:
    programs["before, 1 worker"] = [before, "compute"]
views = ["manager_periods", "agencies", "territories", "units"]


def run(name):
    """(wall s, CPU s, MiB) of a run; its views are in a directory of its name."""
    started = time.monotonic()
    child = subprocess.Popen([*programs[name], *usual, "--out", f"{data}/{name}"], stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    assert status == 0, name
    return time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


figures = {name: [] for name in programs}
for _ in range(runs):
    for name in programs:
        figures[name].append(run(name))
for name in programs:
    for view in views:
        same = filecmp.cmp(f"{data}/yardstick/{view}.ndjson", f"{data}/{name}/{view}.ndjson", shallow=False)
        assert same, f"{view} of {name} is not the yardstick's"
print(f"the views {', '.join(views)} are the same of all; medians of {runs}, by turns")
for name, of in figures.items():
    wall, cpu, mib = (statistics.median(column) for column in zip(*of))
    ratio = statistics.median(mine[1] / base[1] for mine, base in zip(of, figures["yardstick"]))
    print(
        f"{name:20} {events / wall:>10,.0f} events/s  {cpu * 1e6 / events:6.2f} us of CPU an event, "
        f"{ratio:5.2f} times the yardstick's  {mib:7,.0f} MiB, {mib * 2**20 / events:5,.0f} bytes an event"
    )
one, two = figures["compute, 1 worker"], figures["compute, 2 workers"]
print(f"two workers against one, paired: {statistics.median(a[0] / b[0] for a, b in zip(one, two)):.2f} times as fast")
if before:
    gain = statistics.median(b[1] / a[1] for a, b in zip(one, figures["before, 1 worker"]))
    print(f"CPU before against now, paired: {gain:.2f} times")
