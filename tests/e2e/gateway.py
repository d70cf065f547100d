"""gateway - the real binary under test: starts it, talks to it, and checks the way it leaves.

    with Gateway([echo(slots=2)]) as gateway:
        reply = gateway.post("echo", b"hello")

On leaving the block the gateway gets SIGTERM and must exit 0 in time, leave no process behind, have
logged nothing alarming, and have counted exactly the requests that were sent to it. It ends only
processes that carry this gateway's own mark in their environment, by process id.
"""

import http.client
import json
import os
import re
import selectors
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

from metrics import Metrics
from support import ROOT, build, check, equal, eventually, patient, skip

ALARMING = re.compile(r'level="?alert|"level":"alert"|Sanitizer|runtime error|Assertion')
LOG_FIELD = re.compile(r'([\w.-]+)=("(?:[^"\\]|\\.)*"|\S*)')
MARK = "POOLGATE_TEST_MARK"


def sanitizer_options():
    """Sanitizers stop at what they find and say where; known faults of libraries are in the .supp files."""
    support = ROOT / "tests" / "support"
    return {
        "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:detect_stack_use_after_return=1:handle_abort=0",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "LSAN_OPTIONS": f"suppressions={support / 'lsan.supp'}:print_suppressions=0",
        "TSAN_OPTIONS": f"suppressions={support / 'tsan.supp'}:second_deadlock_stack=1:die_after_fork=0:exitcode=66",
    }


def worker_environment(mark):
    """A worker may crash on purpose: that is not worth a report."""
    environment = {MARK: mark}
    if build.sanitized:
        environment.update(sanitizer_options())
        environment["ASAN_OPTIONS"] += ":handle_segv=0:handle_sigbus=0:handle_sigill=0"
        environment["TSAN_OPTIONS"] += ":handle_segv=0:handle_sigbus=0:handle_sigill=0"
    return environment


def echo(name="echo", slots=1, args=None, **more):
    """A pool of echo workers; slots is a number, or (min, max)."""
    least, most = slots if isinstance(slots, tuple) else (slots, slots)
    pool = {
        "name": name,
        "worker": {"plugin": "echo", "args": {key: str(value) for key, value in (args or {}).items()}},
        "slots": {"min": least, "max": most},
    }
    for key, value in more.items():
        pool[key] = {**pool[key], **value} if isinstance(pool.get(key), dict) else value
    return pool


class Reply:
    """One HTTP reply, and how many seconds after its request it was complete."""

    def __init__(self, status, headers, body, seconds):
        self.status, self.headers, self.body, self.seconds = status, headers, body, seconds

    def __repr__(self):
        return f"<{self.status} {dict(self.headers)} {self.body[:300]!r} after {self.seconds:.3f} s>"

    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The contract's outcome: the problem's code, or ok."""
        return "ok" if self.status == 200 else self.json()["code"]

    @property
    def timing(self):
        """Server-Timing as {"queue": ms, "cold": ms, "run": ms}."""
        parts = re.findall(r"([a-z]+);dur=([0-9.]+)", self.headers["Server-Timing"] or "")
        return {name: float(value) for name, value in parts}


class _Bytes:
    def __init__(self, data):
        self.data = data

    def makefile(self, *_):
        import io

        return io.BytesIO(self.data)


def parse_reply(data, seconds=0.0):
    """What a raw socket received, read as one HTTP reply."""
    response = http.client.HTTPResponse(_Bytes(data))
    response.begin()
    return Reply(response.status, response.headers, response.read(), seconds)


def request_bytes(method, path, body=b"", headers=None):
    fields = {"Host": "localhost", "Connection": "close", **(headers or {})}
    if body or method == "POST":
        fields.setdefault("Content-Length", str(len(body)))
    head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in fields.items() if v is not None)
    return head.encode("latin-1") + b"\r\n" + body


def reset(connection):
    """Closes so that the peer sees RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def process_field(pid, name):
    found = re.search(rf"^{name}:\s*(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)
    return int(found.group(1))


class Gateway:
    def __init__(self, pools, wait="ready", settings=(), environment=None, expect_exit=0, conserve=True,
                 stop_within=10.0, keep_log_bounded=8 << 20, before_exec=None, prefix=(), pass_fds=(), key=None,
                 **sections):
        """key: shown with every request that shows none of its own."""
        self.mark = uuid.uuid4().hex
        self.folder = Path(tempfile.mkdtemp(prefix="poolgate-test-"))
        self.config_file = self.folder / "poolgate.yaml"
        self.log_file = self.folder / "log"
        self.wait, self.expect_exit, self.conserve, self.key = wait, expect_exit, conserve, key
        self.stop_within, self.log_bound = stop_within, keep_log_bounded
        self.before_exec = before_exec  # runs in the new process, before the program
        self.sent = 0
        config = {
            "http": {"listen": "127.0.0.1:0", **sections.pop("http", {})},
            "grpc": {"listen": "127.0.0.1:0"},
            "drain": {"grace": "0s", "timeout": f"{int(patient(25))}s", **sections.pop("drain", {})},
            **sections,
            "pools": [self._marked(pool) for pool in pools],
        }
        self.pools = [pool["name"] for pool in pools]
        self.config_file.write_text(json.dumps(config, indent=2) + "\n")  # YAML reads JSON
        self.pass_fds = pass_fds
        self.command = [*prefix, str(build.program), "serve", "--config", str(self.config_file)]
        for setting in settings:
            self.command += ["--set", setting]
        self.environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LANG": "C.UTF-8",
                            **sanitizer_options(), **(environment or {})}
        self.process = None

    def _marked(self, pool):
        pool = json.loads(json.dumps(pool))
        settings = pool.setdefault("env", {}).setdefault("set", {})
        for name, value in worker_environment(self.mark).items():
            settings.setdefault(name, value)
        return pool

    # --- life ---------------------------------------------------------------------------------

    def __enter__(self):
        try:
            self.start()
        except BaseException as error:
            self._give_up(error)
            raise
        return self

    def __exit__(self, kind, error, trace):
        if error is not None:
            self._give_up(error)
            return False
        try:
            if self.process.poll() is None:
                self.stop()
            self.check_end()
        except BaseException as late:
            self._give_up(late)
            raise
        shutil.rmtree(self.folder, ignore_errors=True)
        return False

    def start(self):
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=self.environment, cwd=self.folder, preexec_fn=self.before_exec,
                                            pass_fds=self.pass_fds)
        line = eventually(self._listening, within=10, about="the gateway listens")
        host, port = line["http"].rsplit(":", 1)
        self.host, self.port = host.strip("[]"), int(port)
        self.url = f"http://{line['http']}"
        if self.wait == "ready":
            eventually(lambda: self.get("/startupz").status == 200, within=15, about="every pool has started")
            eventually(lambda: self.get("/readyz").status == 200, within=15, about="the gateway is ready")

    def _listening(self):
        lines = self.events("listening")
        if lines:
            return lines[0]
        check(self.process.poll() is None, f"the gateway ended with {self.process.poll()} before it listened")
        return None

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def stop(self):
        """SIGTERM, and the end that must follow. Counts what was answered just before."""
        if self.conserve:
            self.check_conservation()
        self.signal(signal.SIGTERM)
        self.join()

    def join(self, within=None):
        """Waits until the process has ended and says how."""
        within = patient(within or self.stop_within)
        try:
            return self.process.wait(timeout=within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the gateway has not ended within {within:g} s") from None

    def check_end(self):
        if self.expect_exit is not None:
            equal(self.process.returncode, self.expect_exit, "exit code of the gateway")
        eventually(lambda: not self.marked_processes(), within=5 if self.expect_exit else 1,
                   about="no worker process is left")
        self.check_log()

    def check_log(self):
        alarms = [line for line in self.log_text().splitlines() if ALARMING.search(line)]
        check(not alarms, "alarming lines in the log:\n" + "\n".join(alarms[:40]))
        check(self.log_file.stat().st_size <= self.log_bound, f"the log has {self.log_file.stat().st_size} bytes")

    def check_conservation(self):
        """Every request sent was answered and counted once; nothing is under way."""
        for name in self.pools:
            eventually(lambda: self.pool(name)["queue"]["waiting"] == 0, about=f"nobody waits in {name}")
        eventually(lambda: self.counted() >= self.sent, within=2, about=f"{self.sent} requests are counted")
        equal(self.counted(), self.sent, "poolgate_requests_total over all codes against requests sent")

    def counted(self):
        numbers = self.metrics()
        return sum(numbers.sum("poolgate_requests_total", pool=name) for name in self.pools)

    def _give_up(self, error):
        """After a failure: ends what this gateway started, and shows the end of its log."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in self.marked_processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.log_file.exists():
            tail = self.log_text().splitlines()[-25:]
            error.add_note("the end of the gateway's log:\n  " + "\n  ".join(line[:300] for line in tail))
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- processes ----------------------------------------------------------------------------

    @property
    def pid(self):
        return self.process.pid

    def marked_processes(self):
        """Every process that carries this gateway's mark: its workers, and whatever they started."""
        wanted, found = f"{MARK}={self.mark}".encode(), []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    if wanted in Path("/proc", entry, "environ").read_bytes().split(b"\0"):
                        found.append(int(entry))
                except OSError:
                    pass
        return found

    def descriptors(self):
        return len(self.look_into("fd"))

    def look_into(self, folder):
        """What is in a folder of /proc/PID: the gateway lets nobody look into it but root."""
        try:
            return os.listdir(f"/proc/{self.pid}/{folder}")
        except PermissionError:
            skip("only root can look into the gateway")

    def threads(self):
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def resident_kib(self):
        return process_field(self.pid, "VmRSS")

    # --- log ----------------------------------------------------------------------------------

    def log_text(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def events(self, message):
        """The log lines msg=MESSAGE as dictionaries, whether the log is text or JSON."""
        lines = (json.loads(line) if line.startswith("{") else
                 {key: value.strip('"') for key, value in LOG_FIELD.findall(line)}
                 for line in self.log_text().splitlines(keepends=True) if line.endswith("\n"))
        return [fields for fields in lines if fields.get("msg") == message]

    # --- talking ------------------------------------------------------------------------------

    def connect(self, timeout=60.0):
        connection = socket.create_connection((self.host, self.port), timeout=patient(timeout))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def ask(self, method, path, body=None, headers=None, timeout=60.0):
        began, headers = time.monotonic(), dict(headers or {})
        if self.key is not None:
            headers.setdefault("Authorization", f"Bearer {self.key}")
        client = http.client.HTTPConnection(self.host, self.port, timeout=patient(timeout))
        try:
            client.request(method, path, body=body, headers=headers)
            response = client.getresponse()
            return Reply(response.status, response.headers, response.read(), time.monotonic() - began)
        finally:
            client.close()

    def get(self, path, **more):
        return self.ask("GET", path, **more)

    def json(self, path):
        reply = self.get(path)
        equal(reply.status, 200, f"status of GET {path}")
        return reply.json()

    def post(self, pool, body=b"", operation=None, timeout_ms=None, priority=None, headers=None, **more):
        self.sent += 1
        return self.ask("POST", f"/v1/pools/{pool}/invoke", body,
                        invoke_headers(operation, timeout_ms, priority, headers), **more)

    def raw_post(self, pool, body=b"", operation=None, timeout_ms=None, priority=None, headers=None):
        """The bytes of an invocation, for a socket of the test's own; counted as sent."""
        self.sent += 1
        return request_bytes("POST", f"/v1/pools/{pool}/invoke", body,
                             invoke_headers(operation, timeout_ms, priority, headers))

    def send(self, data):
        """Opens a connection and sends the bytes; the reply is still to be read with receive()."""
        connection = self.connect()
        connection.sendall(data)
        return connection

    def at_once(self, requests, within=60.0):
        """Sends all requests in one sweep, each on its own open connection; replies in the same order."""
        connections = [self.connect() for _ in requests]
        replies, parts = [None] * len(requests), [bytearray() for _ in requests]
        selector = selectors.DefaultSelector()
        began = time.monotonic()
        for index, (connection, data) in enumerate(zip(connections, requests)):
            connection.sendall(data)
            connection.setblocking(False)
            selector.register(connection, selectors.EVENT_READ, index)
        end = began + patient(within)
        while selector.get_map():
            check(time.monotonic() < end, f"{len(selector.get_map())} of {len(requests)} requests not answered")
            for key, _ in selector.select(timeout=0.2):
                piece = key.fileobj.recv(1 << 20)
                parts[key.data] += piece
                if not piece:
                    selector.unregister(key.fileobj)
                    key.fileobj.close()
                    replies[key.data] = parse_reply(bytes(parts[key.data]), time.monotonic() - began)
        selector.close()
        return replies

    def curl(self, path, *arguments, timeout=120):
        """The real curl: (status, headers, body)."""
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            head, body = Path(folder, "head"), Path(folder, "body")
            run = subprocess.run(
                ["curl", "--silent", "--show-error", "--dump-header", head, "--output", body,
                 "--write-out", "%{http_code}", "--max-time", str(int(patient(timeout))), *arguments, self.url + path],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
            equal(run.returncode, 0, f"curl's exit code ({run.stderr.strip()})")
            last = head.read_bytes().decode("latin-1").strip().split("\r\n\r\n")[-1]  # after any 100 Continue
            fields = dict(line.split(": ", 1) for line in last.split("\r\n")[1:] if ": " in line)
            fields = {name.lower(): value for name, value in fields.items()}
            return int(run.stdout), fields, body.read_bytes() if body.exists() else b""

    # --- state --------------------------------------------------------------------------------

    def pool(self, name):
        return self.json(f"/v1/pools/{name}")

    def slots(self, name):
        return self.json(f"/v1/pools/{name}/slots")["slots"]

    def slot(self, name, index=0):
        return self.slots(name)[index]

    def metrics(self):
        return Metrics(self.get("/metrics").body.decode())

    def served(self, pool, count):
        """The pool's workers have answered exactly so many requests. State is published a moment after
        the reply (within 5 ms), so this waits for the count, and then looks whether it stays."""
        def seen():
            return sum(slot["requests"] for slot in self.slots(pool))

        eventually(lambda: seen() >= count, about=f"the workers of {pool} have answered {count} requests")
        time.sleep(patient(0.02))
        equal(seen(), count, f"requests answered by the workers of {pool}")

    def until_no_bytes(self, pool):
        eventually(lambda: self.pool(pool)["queue"]["bytes"] == 0, about=f"no body is charged to {pool}")

    def until_waiting(self, pool, count):
        eventually(lambda: self.pool(pool)["queue"]["waiting"] == count, about=f"{count} requests wait in {pool}")

    def until_slot(self, pool, *states, index=0, within=5.0):
        return eventually(lambda: (slot := self.slot(pool, index))["state"] in states and slot,
                          within=within, about=f"slot {pool}/{index} is {' or '.join(states)}")

    def until_processing(self, pool, count=1):
        eventually(lambda: sum(s["state"] == "processing" for s in self.slots(pool)) == count,
                   about=f"{count} slots of {pool} are processing")


def invoke_headers(operation=None, timeout_ms=None, priority=None, headers=None):
    named = {"Poolgate-Operation": operation, "Poolgate-Timeout-Ms": timeout_ms, "Poolgate-Priority": priority}
    return {**{k: str(v) for k, v in named.items() if v is not None}, **(headers or {})}


def receive(connection):
    """Everything until the peer closes, then the connection is closed here too."""
    parts = []
    with connection:
        while True:
            try:
                piece = connection.recv(1 << 20)
            except ConnectionResetError:
                break
            if not piece:
                break
            parts.append(piece)
    return b"".join(parts)


SERVING = ("ready", "idle")
