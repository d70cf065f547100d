"""control - what the machine itself does to a clock meanwhile: a loop that only sleeps 5 ms and notes how much later
it woke, and how much processor time went to programs that are none of ours.

`python3 control.py FILE` is that loop; it ends with whoever started it.
"""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

STEP_S = 0.005
LATE_MS = 4.0  # the p99 of the idle loop above which a bound on time says little
FOREIGN = 0.35  # the share of all processors that others may have
TICKS = os.sysconf("SC_CLK_TCK")
PR_SET_PDEATHSIG = 1


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def busy_seconds():
    fields = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return (sum(fields[:3]) + sum(fields[5:8])) / TICKS


def process_seconds(pid):
    """Of a process and of the children that it has waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(int(field) for field in fields[11:15]) / TICKS


def own_seconds():
    return sum(used.ru_utime + used.ru_stime
               for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


class Control:
    def __init__(self, folder):
        self.file = Path(folder, "control")
        self.process = subprocess.Popen([sys.executable, __file__, self.file], stdin=subprocess.DEVNULL)

    def end(self):
        self.process.kill()
        self.process.wait()

    def window(self, pids=()):
        return Window(self, pids)


class Window:
    """From its making to close(): how late the idle loop was, how much others used. `pids` is a function."""

    def __init__(self, control, pids):
        self.control, self.pids = control, pids
        self.began, self.busy, self.ours = time.monotonic(), busy_seconds(), self.used()
        self.late_ms = self.foreign = None

    def used(self):
        return own_seconds() + process_seconds(self.control.process.pid) + sum(map(process_seconds, self.pids()))

    def close(self):
        seconds = max(time.monotonic() - self.began, 0.05)
        others = busy_seconds() - self.busy - (self.used() - self.ours)
        self.foreign = max(0.0, others / seconds / os.cpu_count())
        late = []
        for line in self.control.file.read_text().splitlines()[:-1]:
            at, by = line.split()
            if float(at) >= self.began:
                late.append(float(by) * 1000)
        self.late_ms = percentile(late, 0.99)
        return self

    @property
    def disturbed(self):
        return self.late_ms > LATE_MS or self.foreign > FOREIGN

    def __str__(self):
        return f"idle loop late by {self.late_ms:.1f} ms at p99, others used {self.foreign:.0%} of the processors"


def loop(path):
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    with open(path, "w") as out:
        while True:
            began = time.monotonic()
            time.sleep(STEP_S)
            now = time.monotonic()
            out.write(f"{now:.6f} {now - began - STEP_S:.6f}\n")
            out.flush()


if __name__ == "__main__":
    loop(sys.argv[1])
