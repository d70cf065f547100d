"""resources - group F: no descriptors, readers that do not read, no memory."""

import mmap
import os
import resource
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

from gateway import echo
from h2 import Http2
from ledger import steady
from stage import C, stage
from support import eventually
from trial import trial

MIB = 1 << 20
REFUSALS = ("memory_exhausted", "queue_full", "deadline_unmeetable")  # fewer workers are there, and less is let in
CONNECTIONS = 120


def grpc_answers(gateway):
    try:
        with Http2(gateway) as client:
            return client.finish(client.invoke("echo", b"x")).status == 0
    except (OSError, AssertionError):
        return False


def http_answers(gateway):
    try:
        return gateway.get("/livez", timeout=2).status == 200
    except OSError:
        return False


@trial("F1", "no descriptors are left: 120 connections above the limit, then both ports again")
def no_descriptors(run):
    with stage(run, calm=False) as place:
        gateway = place.gateway
        grpc = gateway.events("listening")[0]["grpc"].rsplit(":", 1)
        limits = resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE)
        before = len(gateway.log_text().splitlines())
        for port in (gateway.port, int(grpc[1])):
            resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (gateway.descriptors() + 24, limits[1]))
            began, held = time.monotonic(), []
            for _ in range(CONNECTIONS):
                try:
                    held.append(socket.create_connection(("127.0.0.1", port), timeout=2))
                except OSError:
                    pass
            time.sleep(2)
            for connection in held:
                connection.close()
            closed, silent = time.monotonic(), closed_after(gateway)
            run.at_most(f"port {'HTTP' if port == gateway.port else 'gRPC'}: both answer after", silent, 2, "s")
            resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, limits)
            lines = len(gateway.log_text().splitlines()) - before
            before += lines
            run.at_most("log lines a second", lines / (closed - began), 2)
        ok = place.load(steady(C / 2, 1, name="after"))
        run.at_most("not ok after", sum(not entry.ok for entry in ok), 0)
    run.note("a thread that cannot be made fails the start; none is made later but by gRPC core")


def closed_after(gateway):
    """Seconds until both ports answer."""
    began = time.monotonic()
    eventually(lambda: http_answers(gateway) and grpc_answers(gateway), within=20, about="both ports answer")
    return time.monotonic() - began


@trial("F2", "200 readers that take a byte a second of 64 MiB each")
def slow_readers(run):
    readers, rate, grace = (50 if run.short else 200), "64KiB", 5
    pool = echo("large", slots=2, timeouts={"request": "60s"})
    with stage(run, [pool], sections={"http": {"min_rate": rate}}) as place:
        gateway = place.gateway
        before, held, over = gateway.resident_kib(), [], threading.Event()
        for _ in range(readers):
            connection = gateway.connect()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(gateway.raw_post("large", b"x", f"size:{64 * MIB}", timeout_ms=60000))
            held.append(connection)
        times = {}

        def sip():
            began = {connection: None for connection in held}
            while began and not over.wait(0.2):
                for connection in list(began):
                    connection.setblocking(False)
                    try:
                        piece = connection.recv(1)
                        if piece and began[connection] is None:
                            began[connection] = time.monotonic()
                        if piece:
                            continue
                    except BlockingIOError:
                        continue
                    except OSError:
                        pass
                    if began[connection] is not None:
                        times[connection] = time.monotonic() - began[connection]
                    del began[connection]

        sipping = threading.Thread(target=sip, daemon=True)
        sipping.start()
        good = place.load(steady(C / 2, 10, name="good"))
        eventually(lambda: len(times) == readers, within=90, about="every slow reader is cut", every=0.1)
        grown = gateway.resident_kib() - before
        over.set()
        sipping.join()
        for connection in held:
            connection.close()
        place.asked = gateway.sent
        run.at_most("a slow reader lives for", max(times.values()), 2 * grace + 3, "s")
        run.at_most("resident growth", grown / 1024, 64, "MiB")
        run.at_most("good requests beside them not ok", sum(not entry.ok for entry in good), 0)


HOG = """
import sys, time
usage, target, chunks = sys.argv[1], int(sys.argv[2]), []
while True:
    used = int(open(usage).read())
    if used < target:
        chunks.append(bytearray(b"x") * min(1 << 20, target - used + 4096))
    else:
        print("full", flush=True)
        time.sleep(0.05)
"""


class Group:
    """A memory cgroup (version 1 or 2) of the test's own, below the one it runs in; None where that cannot be."""

    def __init__(self, folder, limit, limit_name, usage_name):
        self.folder, self.usage, self.limit = folder, folder / usage_name, limit
        (folder / limit_name).write_text(str(limit))

    @classmethod
    def make(cls, limit):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if "memory" in controllers.split(","):
                folder = Path("/sys/fs/cgroup/memory" + path, f"battery-{os.getpid()}")
                try:
                    folder.mkdir()
                    return cls(folder, limit, "memory.limit_in_bytes", "memory.usage_in_bytes")
                except OSError:
                    return None
        return None

    def join(self):
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def killed(self):
        for line in (self.folder / "memory.oom_control").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
        return 0

    def end(self):
        for pid in (self.folder / "cgroup.procs").read_text().split():
            try:
                Path("/sys/fs/cgroup/memory/cgroup.procs").write_text(pid)
            except OSError:
                pass
        eventually(lambda: self.remove(), within=5, about="the cgroup can be removed")

    def remove(self):
        try:
            self.folder.rmdir()
            return True
        except OSError:
            return False


@trial("F3", "a neighbour in the same cgroup takes 92, then 96 % of the memory, then all of it")
def no_memory(run):
    group = Group.make(256 * MIB)
    if group is None:
        run.note("no memory cgroup can be made here: not tried")
        run.at_most("skipped", 0, 0)
        return
    pools = [echo("more", slots=(0, 1), memory="20MiB", required=False)]
    try:
        with stage(run, pools, calm=False, memory="4MiB", sections={"before_exec": group.join}) as place:
            fill(run, place, group)
    finally:
        group.end()


def fill(run, place, group):
    gateway, hogs = place.gateway, []
    try:
        for share in (0.92, 0.96):
            hogs.append(subprocess.Popen([sys.executable, "-c", HOG, str(group.usage), str(int(group.limit * share))],
                                         stdout=subprocess.PIPE, preexec_fn=group.join))
            hogs[-1].stdout.readline()
            eventually(lambda: gateway.json("/healthz")["memory"]["pressure"] == "critical", within=15,
                       about="the pressure is told")
            ledger = place.load(steady(C / 2, run.seconds(3, 2), name="tight"))
            load = gateway.post("more", b"x", timeout_ms=5000)
            refused = sum(ledger.counts()[code] for code in REFUSALS) if share > 0.95 else 0
            run.at_most(f"at {share:.0%} neither served nor, above 95 %, refused",
                        sum(not entry.ok for entry in ledger) - refused, 0)
            run.at_most(f"at {share:.0%} a further worker ends otherwise",
                        int(load.code not in ("memory_exhausted", "ok")), 0)
            run.note(f"at {share:.0%}: {dict(ledger.counts())}, a further worker: {load.code}")
        hogs.append(subprocess.Popen([sys.executable, "-c", HOG, str(group.usage), str(2 * group.limit)],
                                     stdout=subprocess.DEVNULL, preexec_fn=group.join))
        time.sleep(run.seconds(5, 3))
        run.at_most("gateway dead", int(gateway.process.poll() is not None), 0)
        run.note(f"{group.killed()} killed by the kernel, none of them the gateway")
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    eventually(lambda: gateway.post("echo", b"x").code == "ok", within=20, about="it serves again", every=0.2)
    eventually(lambda: gateway.post("more", b"x", timeout_ms=5000).code == "ok", within=30, every=0.2,
               about="a further worker is loaded again")


@trial("F4", "the n-th allocation fails, once and for good, while a request goes its way")
def failing_allocations(run):
    library, most = str(Path(run.rogue).with_name("alloc_fails.so")), (60 if run.short else 400)
    file = Path(run.folder, "alloc")
    file.write_bytes(struct.pack("qqq", -1, 0, 0))
    with open(file, "r+b") as opened, mmap.mmap(opened.fileno(), 24) as plan:
        environment = {"LD_PRELOAD": library, "ALLOC_FAILS": str(file)}
        with stage(run, calm=False, sections={"environment": environment}) as place:
            gateway, codes, lost = place.gateway, Counter(), 0
            for persistent in (0, 1):
                for count in range(most):
                    plan[0:24] = struct.pack("qqq", count, persistent, 0)
                    code = answer_of(gateway)
                    plan[0:8] = struct.pack("q", -1)
                    failed = struct.unpack("q", plan[16:24])[0]
                    codes[code] += 1
                    lost += answer_of(gateway) != "ok"
                    if failed == 0:
                        break
            run.at_most("of the requests after a failure not ok", lost, 0)
            run.at_most("gateway dead", int(gateway.process.poll() is not None), 0)
            run.at_most("hung", codes["hung"], 0)
            run.note(f"{dict(codes)}; the gRPC way ends in gRPC core, which gives up the process")


def answer_of(gateway):
    try:
        return gateway.post("echo", b"x" * 1000, timeout=8).code
    except TimeoutError:
        return "hung"
    except OSError:
        return "closed"
