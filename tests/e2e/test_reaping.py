#!/usr/bin/env python3
"""reaping: processes that workers leave behind are adopted and reaped; workers themselves are the pool's to reap"""

import os
import signal
import sys
import time
from pathlib import Path

from gateway import SERVING, Gateway, echo
from support import build, check, equal, eventually, main, patient, test

# What process 1 of a container is by itself: orphans below become its children. It stays over exec.
BECOME_REAPER = """
import ctypes, os, sys
PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
HOST = f"{build.folder}/poolgate-worker --pool leaver --slot 0 --parent $PPID"
LEAVER = f"{HOST} --plugin {build.folder}/workers/echo.so"


class Reaper(Gateway):
    def __init__(self, *pools, **sections):
        super().__init__(*pools, **sections)
        self.command = [sys.executable, "-c", BECOME_REAPER, *self.command]

    def children(self):
        """pid → (name, state) of the gateway's own children, zombies as well."""
        found = {}
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                stat = Path("/proc", entry, "stat").read_text()
            except OSError:
                continue
            state, parent = stat[stat.rindex(")") + 2:].split()[:2]
            if int(parent) == self.pid:
                found[int(entry)] = (stat[stat.index("(") + 1:stat.rindex(")")], state)
        return found

    def zombies(self):
        return [pid for pid, (_, state) in self.children().items() if state == "Z"]


def leaver(processes):
    """A pool whose worker leaves processes in sessions of their own before it becomes an echo worker."""
    leave = f"(setsid sleep {patient(0.2):g} >/dev/null 2>&1 3>&- &); " * processes
    return {"name": "leaver", "worker": {"command": ["sh", "-c", f"{leave} exec {LEAVER}"]},
            "slots": {"min": 1, "max": 1}, "env": {"pass": ["PATH"]}}


@test
def what_a_worker_leaves_behind_is_reaped():
    with Reaper([leaver(5)], log={"level": "debug"}) as gateway:
        eventually(lambda: len(gateway.events("reaped")) >= 5, about="five were reaped")
        eventually(lambda: not gateway.zombies(), about="no zombie is left")
        equal(gateway.post("leaver", b"still here").body, b"still here", "the worker's answer")


@test
def the_end_of_a_worker_is_never_taken_away_from_its_pool():
    with Reaper([leaver(3), echo(slots=4)], conserve=False) as gateway:
        for turn in range(1, 6):
            victims = [pid for pid, (name, _) in gateway.children().items() if name.startswith("poolgate-work")]
            check(victims, "there are workers")
            for pid in victims:
                os.kill(pid, signal.SIGKILL)
            for name, count in (("leaver", 1), ("echo", 4)):
                eventually(lambda: sum(slot["restarts"] for slot in gateway.slots(name)) >= turn * count
                           and all(slot["state"] in SERVING for slot in gateway.slots(name)),
                           within=20, about=f"every worker of {name} was started again, turn {turn}")
        time.sleep(patient(0.4))
        eventually(lambda: not gateway.zombies(), about="no zombie is left")
        for slot in gateway.slots("echo") + gateway.slots("leaver"):
            check("signal 9" in slot["last_error"], f"{slot['id']} ended by signal 9: {slot['last_error']!r}")


main(__doc__)
