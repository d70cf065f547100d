"""operations - group M: broken configurations, storms of signals, odd clocks, stops under load, a log nobody reads."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from gateway import Gateway, echo
from h2 import Http2
from ledger import p99_ms, steady
from stage import C, sleeping, stage
from support import build, eventually
from trial import trial

GOOD = """http:
  listen: 127.0.0.1:{port}
grpc:
  listen: 127.0.0.1:0
drain: {{ grace: 0s, timeout: 20s }}
pools:
  - name: echo
    worker: {{ plugin: echo }}
    slots: {{ min: 1, max: 2 }}
    queue: {{ capacity: 100 }}
    timeouts: {{ request: 10s, max: 1m }}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def broken(number, chance):
    """The good configuration with one mistake, of a kind that goes round."""
    lines = GOOD.format(port="{port}").splitlines()
    spot = chance.randrange(len(lines))
    values = ["-1", "1e99", "''", "[1, 2]", "{}", "99999999999999999999", "5 parsecs", "yes please", "\x01", "~"]
    kinds = (
        lambda: lines[:4] + ["drian: {}"] + lines[4:],
        lambda: [line.replace("capacity: 100", f"capacity: {chance.choice(values)}") for line in lines],
        lambda: [line.replace("request: 10s", f"request: {chance.choice(values)}") for line in lines],
        lambda: [line.replace("min: 1", f"min: {chance.choice(('3', '-1', 'x', '[]'))}") for line in lines],
        lambda: lines[:spot] + [lines[spot] + " ]}"] + lines[spot + 1:],
        lambda: [line.replace("name: echo", f"name: {chance.choice(('Echo', 'a b', chr(34) * 2, 'x' * 64, '../x'))}")
                 for line in lines],
        lambda: [line.replace("plugin: echo", "plugin: echo, command: [true]") for line in lines],
        lambda: [line.replace("127.0.0.1:{port}", chance.choice(("here:1", "127.0.0.1:70000", "127.0.0.1", "0.0.0.0:0")))
                 for line in lines],
        lambda: lines + lines[5:],
        lambda: [line.replace("    queue", f"    {chance.choice(('queues', 'qeue', 'kueue'))}") for line in lines],
    )
    return "\n".join(kinds[number % len(kinds)]()) + "\n"


def is_bound(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@trial("M1", "broken configurations; a bad reload; a good one under load")
def configurations(run):
    count, chance, slowest, odd = (40 if run.short else 200), random.Random(41), 0.0, []
    file, port = Path(run.folder, "broken.yaml"), free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POOLGATE_")}
    for number in range(count):
        file.write_text(broken(number, chance).replace("{port}", str(port)))
        began = time.monotonic()
        ended = subprocess.run([build.program, "serve", "--config", file], capture_output=True, text=True, timeout=20,
                               check=False, env=environment)
        slowest = max(slowest, time.monotonic() - began)
        line = ended.stderr.splitlines()[0] if ended.stderr else ""
        named = line.startswith(f"{file}:") and line.split(":")[1].isdigit() and "allowed" in ended.stderr
        if ended.returncode != 2 or not named or is_bound(port):
            odd.append(f"{number}: {ended.returncode} {line[:120]}")
    unreadable = subprocess.run([build.program, "serve", "--config", run.folder], capture_output=True, text=True,
                                timeout=20, check=False, env=environment)
    run.at_most(f"of {count} not told as FILE:LINE: KEY with code 2" + "".join(f" ({one})" for one in odd[:2]),
                len(odd), 0)
    run.at_most("a folder for a file, not code 2", int(unreadable.returncode != 2), 0)
    run.at_most("slowest", slowest, 1, "s")
    reloads(run)


def reloads(run):
    with stage(run) as place:
        gateway, config = place.gateway, json.loads(place.gateway.config_file.read_text())

        def rewrite():
            gateway.config_file.write_text("pools: [")
            gateway.signal(signal.SIGHUP)
            eventually(lambda: any("configuration" in line and "level=error" in line
                                   for line in gateway.log_text().splitlines()), about="the bad reload is told")
            for number in range(6):
                config["pools"][0]["queue"]["capacity"] = 80 + number % 2
                gateway.config_file.write_text(json.dumps(config))
                gateway.signal(signal.SIGHUP)
                time.sleep(0.5)

        ledger = place.load(steady(C * 0.8, run.seconds(6, 5), name="reload"), during=rewrite)
        run.at_most("dropped by good and bad reloads", sum(not entry.ok for entry in ledger), 0)


@trial("M2", "a thousand signals a second; TERM twice; INT in the middle of the start")
def signals(run):
    seconds = run.seconds(10, 4)
    with stage(run) as place:
        sent = [0]

        def storm():
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD):
                    place.gateway.signal(number)
                    sent[0] += 1
                time.sleep(0.003)

        ledger = place.load(steady(C / 2, seconds, name="storm"), during=storm)
        run.at_most(f"not ok beside {sent[0]} signals", sum(not entry.ok for entry in ledger), 0)
    with Gateway([echo()], drain={"grace": "20s"}, conserve=False, expect_exit=None) as gateway:
        held = gateway.send(gateway.raw_post("echo", b"x", "delay:15000"))
        gateway.until_processing("echo")
        gateway.signal(signal.SIGTERM)
        eventually(lambda: gateway.get("/readyz").status == 503, about="it drains")
        gateway.signal(signal.SIGTERM)
        eventually(lambda: gateway.events("draining"), about="the grace is skipped")
        gateway.signal(signal.SIGTERM)
        began = time.monotonic()
        gateway.join(within=10)
        run.at_most("the last TERM ends it after", time.monotonic() - began, 1, "s")
        held.close()
    stuck = 0
    for number in range(5 if run.short else 20):
        process = subprocess.Popen([build.program, "serve", "--set", "http.listen=127.0.0.1:0", "--set",
                                    "grpc.listen=127.0.0.1:0"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.004 * number)
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            stuck += 1
            process.kill()
            process.wait()
    run.at_most("starts that INT did not end", stuck, 0)


def faketime():
    """The library that tells a program another time of day, or nothing."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return str(found[0]) if found else None


@trial("M3", "the clock on the wall jumps; the machine sleeps for a while")
def clocks(run):
    library = faketime()
    steps = ("+1h", "-1h", "+10y", "-1h", "+0") if library else ()
    stamp = Path(run.folder, "faketime")
    stamp.write_text("+0\n")
    environment = {"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(stamp), "FAKETIME_NO_CACHE": "1",
                   "FAKETIME_DONT_FAKE_MONOTONIC": "1"} if library else {}
    with stage(run, calm=not library, sections={"environment": environment}) as place:
        gateway, wrong = place.gateway, 0
        pids = {slot["pid"] for slot in gateway.slots("echo")}
        for step in steps:
            stamp.write_text(step + "\n")
            ledger = place.load(steady(C / 2, 1, name="jump", timeout_ms=2000))
            wrong += sum(not entry.ok for entry in ledger)
        if not library:
            run.note("libfaketime is not installed: the jumps were left out")
        else:
            run.at_most("wrong after a jump of the clock", wrong, 0)
        gateway.signal(signal.SIGSTOP)
        time.sleep(run.seconds(30, 12))
        gateway.signal(signal.SIGCONT)
        ledger = place.load(steady(C / 2, 2, name="woken", timeout_ms=5000))
        run.at_most("not ok after the pause", sum(not entry.ok for entry in ledger), 0)
        run.at_most("workers that the pause cost", len(pids - {slot["pid"] for slot in gateway.slots("echo")}), 0)


class Kept(threading.Thread):
    """One client that keeps its connection, and says how each of its requests ended."""

    def __init__(self, gateway, number):
        super().__init__(daemon=True)
        self.gateway, self.number, self.lost, self.answered, self.closes = gateway, number, 0, 0, 0

    def run(self):
        connection = self.gateway.connect(timeout=30)
        file = connection.makefile("rb")
        request = (b"POST /v1/pools/echo/invoke HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx")
        while True:
            try:
                connection.sendall(request)
            except OSError:
                break
            try:
                status = file.readline()
            except OSError:
                status = b""
            if not status:
                # A server may end an idle connection in the moment in which it is used again: RFC 9112, 9.5.
                break
            length, close = 0, False
            for line in iter(file.readline, b"\r\n"):
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
                close = close or (name.lower() == b"connection" and b"close" in value)
            body = file.read(length)
            good = b" 200 " in status and body == b"x"
            refused = b" 503 " in status and (b"shutting_down" in body or b"queue_full" in body)
            self.answered += good
            self.lost += not good and not refused
            self.closes += close
            if close:
                break
        connection.close()


@trial("M4", "SIGTERM under four fifths of the load, with kept connections, a queue and streams")
def stop_under_load(run):
    rounds, lost, late, closes, goaways, answered = (5 if run.short else 50), 0, 0.0, 0, 0, 0
    for number in range(rounds):
        with Gateway([sleeping()], conserve=False, drain={"grace": "100ms", "timeout": "10s"}) as gateway:
            clients = [Kept(gateway, index) for index in range(4)]
            with Http2(gateway) as rpc:
                streams = [rpc.invoke("echo", b"x", operation="delay:60") for _ in range(8)]
                for client in clients:
                    client.start()
                time.sleep(0.05 + 0.01 * (number % 10))
                began = time.monotonic()
                gateway.signal(signal.SIGTERM)
                answers = rpc.finish_all()
                lost += sum(answer.status != 0 for answer in answers.values()) + len(streams) - len(answers)
                goaways += bool(getattr(rpc, "goaway", True))
            for client in clients:
                client.join(timeout=15)
            lost += sum(client.lost for client in clients)
            closes += any(client.closes for client in clients)
            answered += sum(client.answered for client in clients)
            gateway.join(within=12)
            late = max(late, time.monotonic() - began)
    run.at_most(f"lost of {answered} and {8 * rounds} calls in {rounds} rounds", lost, 0)
    run.at_most("ended after", late, 10 + 1, "s")
    run.at_least("rounds that saw Connection: close", closes, rounds)


HAPROXY = """global
  maxconn 2000
defaults
  mode http
  timeout connect 2s
  timeout client 30s
  timeout server 30s
  timeout queue 5s
  option redispatch
  retries 3
  default-server inter 100ms fall 1 rise 1 on-marked-down shutdown-sessions
frontend front
  bind 127.0.0.1:{port}
  default_backend gateways
backend gateways
  option httpchk GET /readyz
  server one 127.0.0.1:{one} check
  server two 127.0.0.1:{two} check
"""


class Front:
    """HAProxy on a port of its own, as something that olg can be pointed at."""

    def __init__(self, folder, one, two):
        self.port = free_port()
        file = Path(folder, "haproxy.cfg")
        file.write_text(HAPROXY.format(port=self.port, one=one, two=two).replace(
            " on-marked-down shutdown-sessions", ""))
        self.process = subprocess.Popen(["haproxy", "-db", "-f", file], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end(self):
        self.process.terminate()
        self.process.wait()


@trial("M5", "two gateways behind HAProxy, restarted in turn")
def rolling_restart(run):
    if shutil.which("haproxy") is None:
        run.note("haproxy is not installed: not tried")
        run.at_most("skipped", 0, 0)
        return
    rounds = 2 if run.short else 10
    grace = {"drain": {"grace": "500ms", "timeout": "10s"}}
    ports = [free_port(), free_port()]
    settings = [[f"http.listen=127.0.0.1:{port}"] for port in ports]
    with stage(run, calm=False, sections={**grace, "settings": settings[0]}) as place, \
            Gateway([sleeping()], settings=settings[1], conserve=False, expect_exit=None, **grace) as second:
        front = Front(run.folder, *ports)
        eventually(lambda: is_bound(front.port), about="HAProxy listens")
        own_port, place.gateway.port = place.gateway.port, front.port

        def restart():
            for number in range(rounds):
                victim = (second, place.gateway)[number % 2]
                port, victim.port = victim.port, ports[1 - number % 2]
                victim.signal(signal.SIGTERM)
                victim.join(within=15)
                victim.log_file.unlink()
                victim.start()
                victim.port = port if victim is place.gateway else ports[1]
                time.sleep(0.5)

        try:
            ledger = place.load(steady(C * 0.8, rounds * 2.2 + 1, name="rolling", retries=0), during=restart)
        finally:
            place.gateway.port = own_port
            front.end()
        codes = {code: count for code, count in ledger.counts().items() if code != "ok"}
        run.at_most(f"failed of {len(ledger)} in {rounds} restarts {codes or ''}",
                    sum(not entry.ok for entry in ledger), 0)


@trial("M6", "nobody reads the log; the disk of the log is full")
def blocked_log(run):
    seconds = run.seconds(5, 3)
    for name, target in (("a full pipe", None), ("a full disk", "/dev/full")):
        plan = steady(C / 2, seconds, name="log", operation="delay:5")
        with stage(run, calm=False, sections={"log": {"level": "debug"}}) as place:
            alone = p99_ms(place.load(plan))
        reader, writer = os.pipe() if target is None else (None, os.open(target, os.O_WRONLY))
        gateway = Gateway([sleeping()], wait="listening", conserve=False, log={"level": "debug"})
        try:
            measure_blocked(run, gateway, writer, reader, name, plan, alone)
        finally:
            for descriptor in (reader, writer):
                if descriptor is not None:
                    os.close(descriptor)
            shutil.rmtree(gateway.folder, ignore_errors=True)


def measure_blocked(run, gateway, writer, reader, name, plan, alone):
    from stage import Stage

    port = free_port()
    words = gateway.command + ["--set", f"http.listen=127.0.0.1:{port}"]
    gateway.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=writer, stderr=writer,
                                       env=gateway.environment, cwd=gateway.folder)
    gateway.host, gateway.port = "127.0.0.1", port
    eventually(lambda: is_bound(port) and gateway.get("/readyz").status == 200, within=15, about="it serves")
    if reader is not None:
        os.set_blocking(writer, False)
        try:
            while os.write(writer, b"x" * 4096):
                pass
        except BlockingIOError:
            os.set_blocking(writer, True)
    place = Stage(run, gateway, Path(run.folder, "none"))
    ledger = place.load(plan)
    run.at_most(f"{name}: not ok", sum(not entry.ok for entry in ledger), 0)
    run.at_most(f"{name}: p99, {alone:.1f} ms else", p99_ms(ledger), alone * 1.1, "ms")
    gateway.signal(signal.SIGTERM)
    gateway.join(within=20)
    run.at_most(f"{name}: exit code", abs(gateway.process.returncode), 0)
    eventually(lambda: not gateway.marked_processes(), about="no worker is left")
