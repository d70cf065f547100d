"""A gRPC client that we did not write, beside a gateway: grpc/driver.js on @grpc/grpc-js, and what tests ask of it."""

import base64
import functools
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

from support import ROOT, build, check, equal, patient, skip

HERE = Path(__file__).resolve().parent
OK, CANCELLED, INVALID, DEADLINE, NOT_FOUND, EXHAUSTED, PRECONDITION, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = (
    0, 1, 3, 4, 5, 8, 9, 12, 13, 14)
CANCEL_LIMIT_S = 0.1 if not build.sanitized else 1.0


@functools.cache
def npm_install(folder):
    """None when it is done, else why not; asked once, however many tests need it."""
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"]
    try:
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    except subprocess.TimeoutExpired:
        return "no answer within 100 s"
    return None if run.returncode == 0 else " ".join(run.stderr.split())[:200]


def node_packages():
    """The packages of grpc/package.json, installed once into the build folder."""
    folder, wanted = build.folder / "node", (HERE / "grpc" / "package.json").read_text()
    if (folder / "node_modules").is_dir() and (folder / "package.json").read_text() == wanted:
        return folder / "node_modules"
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            skip(f"there is no {tool}: install nodejs and npm to run the clients from npm")
    if not folder.is_dir() or (folder / "package.json").read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "package.json").write_text(wanted)
    failure = npm_install(folder)
    if failure is not None:
        shutil.rmtree(folder / "node_modules", ignore_errors=True)
        skip(f"npm cannot install the clients: {failure}")
    return folder / "node_modules"


class Answer:
    """How one call ended, and after how many seconds."""

    def __init__(self, fields):
        self.status, self.detail = fields["status"], fields["detail"]
        self.trailers, self.seconds, self.reply = fields["trailers"], fields["seconds"], fields.get("reply")

    def __repr__(self):
        return f"<{self.status} {self.detail!r} {self.trailers} {self.reply} after {self.seconds:.3f} s>"

    @property
    def code(self):
        return "ok" if self.status == OK else self.trailers.get("poolgate-code")


class Node:
    """grpc/driver.js beside a gateway; ends with it."""

    def __init__(self, gateway, tls=()):
        """tls: the files of whom to trust and, where it is wanted, of a certificate and its key."""
        self.gateway, self.answers, self.next = gateway, {}, 0
        self.changed = threading.Condition()
        self.process = subprocess.Popen(
            ["node", str(HERE / "grpc" / "driver.js"), address(gateway), str(ROOT / "protos" / "gateway.proto"),
             *map(str, tls)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "NODE_NO_WARNINGS": "1",
                 "NODE_PATH": str(node_packages())})
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _read(self):
        for line in self.process.stdout:
            fields = json.loads(line)
            with self.changed:
                self.answers[fields.pop("id")] = fields
                self.changed.notify_all()
        with self.changed:
            self.answers[None] = {}
            self.changed.notify_all()

    def start(self, do, **fields):
        """Begins a command; its number is what finish() wants."""
        self.next += 1
        self.process.stdin.write(json.dumps({"id": self.next, "do": do, **fields}) + "\n")
        self.process.stdin.flush()
        return self.next

    def finish(self, number, within=60):
        with self.changed:
            done = self.changed.wait_for(lambda: number in self.answers or None in self.answers, patient(within))
            check(done and number in self.answers, f"no answer from the client within {within} s")
            return self.answers.pop(number)

    def command(self, do, **fields):
        return self.finish(self.start(do, **fields))

    def begin(self, pool="echo", payload=b"", **more):
        """Begins an Invoke. In `more`: fields of the request, or what driver.js knows."""
        known = {key: more.pop(key) for key in ("deadline_ms", "headers", "connection", "compression", "reply_file") if key in more}
        if payload:
            file = self.gateway.folder / f"payload-{self.next}"
            file.write_bytes(payload)
            known["payload_file"] = str(file)
        if pool in self.gateway.pools:
            self.gateway.sent += 1
        return self.start("invoke", request={"pool": pool, **more}, **known)

    def invoke(self, *arguments, **more):
        return Answer(self.finish(self.begin(*arguments, **more)))

    def echo(self, payload, pool="echo", **more):
        """What comes back for these bytes, and how."""
        file = self.gateway.folder / "reply"
        answer = self.invoke(pool, payload, reply_file=str(file), **more)
        equal(answer.status, OK, f"status ({answer.detail})")
        return file.read_bytes(), answer.reply

    def raw(self, path, message=b"", **more):
        return Answer(self.command("raw", path=path, message=base64.b64encode(message).decode(), **more))

    def health(self, service=""):
        return Answer(self.command("health", service=service))

    def state(self, method, **request):
        return Answer(self.command("state", method=method, request=request))


def address(gateway):
    return gateway.events("listening")[0]["grpc"]


def every_call_is_released(gateway):
    """Stops the gateway: its front end says at its end how many calls it has made and released."""
    if gateway.process.poll() is None:
        gateway.stop()
    line = gateway.events("grpc closed")[0]
    equal(line["released"], line["calls"], "calls released of those made")
    return int(line["calls"])


def code_count(gateway, code, pool="echo"):
    return gateway.metrics().sum("poolgate_requests_total", pool=pool, frontend="grpc", code=code)


def expect(answer, status, code, retry=False):
    equal((answer.status, answer.code), (status, code), f"status and code ({answer})")
    check(answer.trailers.get("poolgate-request-id"), f"poolgate-request-id: {answer.trailers}")
    pushback = answer.trailers.get("grpc-retry-pushback-ms")
    check((pushback is not None) == retry, f"grpc-retry-pushback-ms of {code}: {pushback}")
    if retry:
        check(1 <= int(pushback) <= 60_000, f"grpc-retry-pushback-ms: {pushback}")
