"""strace - what the threads of a running process ask the kernel for, and which of it may wait for somebody.

    with Trace(gateway) as trace: ...load...
    for fault in trace.waits(): ...

A call may wait if it is made to (nanosleep, fsync, wait4), if it touches the disk (open), or if its descriptor is in
blocking mode. Every thread may have one event wait of its own, and mutexes that are held for a moment. Those are: a
futex without a time limit; and of gRPC's mutexes, on every thread that calls it, also a pause of 10 µs.
"""

import os
import re
import shutil
import subprocess
import time
from collections import Counter, defaultdict
from pathlib import Path

from support import check, eventually, patient, skip

BEGUN = re.compile(r"^(\d+)<([^>]*)> (\w+)\((.*)$")
RESUMED = re.compile(r"^(\d+)<([^>]*)> <\.\.\. (\w+) resumed>(.*)$")
RESULT = re.compile(r"= (-?\d+|\?)[^=]*?(?: <(\d+\.\d+)>)?$")
MUTEX_S = patient(0.02)  # strace itself stops whoever holds it, several times
GRPC_MUTEX_PAUSE = "{tv_sec=0, tv_nsec=10000}"
UNFINISHED = " <unfinished ...>"
TRANSFERS = {"read", "readv", "recvfrom", "recvmsg", "recvmmsg", "write", "writev", "sendto", "sendmsg", "sendmmsg",
             "accept", "accept4", "sendfile", "splice", "connect"}
ALWAYS = {"nanosleep", "clock_nanosleep", "pause", "fsync", "fdatasync", "sync", "msync", "wait4", "waitid", "flock",
          "open", "openat", "openat2", "creat", "rename", "unlink", "mkdir", "getdents64", "rt_sigtimedwait", "sleep",
          "execve", "fork", "vfork", "clone", "clone3"}
WAITS = {"epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6"}


class Call:
    def __init__(self, thread, name, what, arguments, result, seconds):
        self.thread, self.name, self.what, self.arguments = thread, name, what, arguments
        self.result, self.seconds = result, seconds

    def __str__(self):
        return f"{self.name}: {self.what}({self.arguments[:100]} = {self.result} after {self.seconds * 1000:.2f} ms"


class Trace:
    def __init__(self, gateway):
        if shutil.which("strace") is None:
            skip("there is no strace (scripts/deps test)")
        self.gateway, self.file = gateway, gateway.folder / "strace"
        self.names, self.calls = {}, []

    def __enter__(self):
        self.modes = self.blocking_descriptors()
        self.process = subprocess.Popen(["strace", "-f", "-Y", "-y", "-T", "-s", "2", "-o", self.file, "-p",
                                         str(self.gateway.pid)], stderr=subprocess.PIPE, text=True)
        tracer = f"/proc/{self.gateway.pid}/task"
        eventually(lambda: self.process.poll() is not None or all(
            "TracerPid:\t0\n" not in Path(tracer, task, "status").read_text() for task in os.listdir(tracer)),
            within=10, about="strace has every thread")
        if self.process.poll() is not None:
            skip(f"strace cannot attach here: {self.process.stderr.read().strip()[:200]}")
        return self

    def __exit__(self, *_):
        for task in os.listdir(f"/proc/{self.gateway.pid}/task"):
            self.names[int(task)] = Path(f"/proc/{self.gateway.pid}/task/{task}/comm").read_text().strip()
        self.process.terminate()
        self.process.wait()
        time.sleep(0.05)
        self.read()

    def blocking_descriptors(self):
        """number → whether it is in blocking mode."""
        found, folder = {}, Path(f"/proc/{self.gateway.pid}/fdinfo")
        for entry in folder.iterdir():
            try:
                flags = re.search(r"^flags:\s*(\d+)", entry.read_text(), re.M)
            except OSError:
                continue
            found[int(entry.name)] = not int(flags.group(1), 8) & os.O_NONBLOCK
        return found

    # --- reading --------------------------------------------------------------------------------------

    def read(self):
        open_calls = {}
        for line in self.file.read_text(errors="replace").splitlines():
            begun, resumed = BEGUN.match(line), RESUMED.match(line)
            if begun and line.endswith(UNFINISHED):
                open_calls[begun.group(1)] = begun.group(4).removesuffix(UNFINISHED)
            elif begun:
                self.note(begun, begun.group(4))
            elif resumed:
                self.note(resumed, open_calls.pop(resumed.group(1), "") + resumed.group(4))

    def note(self, match, text):
        thread, name, what = int(match.group(1)), match.group(2), match.group(3)
        result = RESULT.search(text)
        if result is None:
            return
        call = Call(thread, name, what, text[:result.start()].strip(), result.group(1), float(result.group(2) or 0))
        self.calls.append(call)

    def pool_loop(self):
        """The thread of the pool loop: it has the only event wait among those without a name of their own."""
        waiting = Counter(call.thread for call in self.calls if call.what == "epoll_wait"
                          and call.name in ("poolgate", "pool") and call.thread != self.gateway.pid)
        check(len(waiting) == 1, f"one pool loop: {waiting}")
        return next(iter(waiting))

    # --- judging --------------------------------------------------------------------------------------

    def waits(self, threads):
        """The calls of these threads (number → what it is) that wait, or might, beyond what each may."""
        modes, faults, event_waits = dict(self.modes), [], defaultdict(Counter)
        for call in self.calls:
            self.follow(modes, call)
            if call.thread not in threads:
                continue
            role = threads[call.thread]
            if call.what in WAITS:
                if not re.search(r", 0(, (NULL|8|\[.*\]).*)?\)?$", call.arguments):
                    event_waits[call.thread][call.arguments.split("<")[0]] += 1
            elif self.may_wait(modes, call, role):
                faults.append(f"{role}: {call}")
        for thread, descriptors in event_waits.items():
            if len(descriptors) > 1:
                faults.append(f"{threads[thread]}: waits for events at {dict(descriptors)}")
        return faults

    @staticmethod
    def follow(modes, call):
        """Descriptors that come while we look: in blocking mode unless they are made otherwise."""
        number = call.result.isdigit() and int(call.result)
        if call.what in ("accept4", "socket", "eventfd2", "epoll_create1", "timerfd_create", "pidfd_open"):
            modes[number] = "NONBLOCK" not in call.arguments
        elif call.what == "socketpair":  # [3<...>, 4<...>]
            for descriptor in re.findall(r"[\[ ](\d+)<", call.arguments[call.arguments.find("["):]):
                modes[int(descriptor)] = "NONBLOCK" not in call.arguments
        elif call.what in ("memfd_create", "openat"):
            modes[number] = True
        elif call.what == "fcntl":
            source = int(call.arguments.split("<")[0])
            if "F_SETFL" in call.arguments:
                modes[source] = "O_NONBLOCK" not in call.arguments
            elif "F_DUPFD" in call.arguments:
                modes[number] = modes.get(source, True)

    @staticmethod
    def may_wait(modes, call, role):
        if call.what in ALWAYS:
            return GRPC_MUTEX_PAUSE not in call.arguments
        if call.what == "futex":
            if "FUTEX_WAIT" not in call.arguments or role == "grpc":  # its completion queue waits by a condition
                return False
            return call.seconds > MUTEX_S or "BITSET" in call.arguments
        if call.what not in TRANSFERS or "MSG_DONTWAIT" in call.arguments:
            return False
        number = re.match(r"(\d+)<", call.arguments)
        memory = "memfd:" in call.arguments.split(",")[0]
        bell = call.what == "write" and "eventfd" in call.arguments.split(",")[0]  # blocks at 2^64 - 1 alone
        return not memory and not bell and (number is None or modes.get(int(number.group(1)), True))
