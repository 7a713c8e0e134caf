"""What a process takes, for the measurements beside this file."""

import os


def usage(pid):
    """`(resident MB, seconds of the CPU)`."""
    with open(f"/proc/{pid}/status", encoding="ascii") as lines:
        resident = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        times = stat.read().rsplit(")", 1)[1].split()
    return resident / 1024, (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")
