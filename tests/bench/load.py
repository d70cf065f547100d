"""load - one measured run against one server: wrk or h2load make the load while a few requests of our own,
each with a body of its own, look at every byte that comes back."""

import http.client
import itertools
import json
import os
import re
import struct
import subprocess
import tempfile
import threading
import time
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
CONNECTIONS = 64
BODY_BYTES = 16
BODY = b"0123456789abcdef"  # what wrk sends, post.lua
EVERY_S = 0.05  # between two samples
INVOKE = "/poolgate.v1.Gateway/Invoke"


class Invalid(Exception):
    """A run that does not count: something other than the right answer came back."""


def require(condition, message):
    if not condition:
        raise Invalid(message)


class Run:
    """What a run came to: answers per second, how many the client saw, how many were looked at."""

    def __init__(self, requests, seconds, samples):
        self.rate, self.requests, self.samples = requests / seconds, requests, samples


class Sampler(threading.Thread):
    """Asks every now and then while the load runs; the first wrong answer is kept in `wrong`."""

    def __init__(self, ask):
        super().__init__(daemon=True)
        self.ask, self.count, self.wrong, self.over = ask, 0, None, threading.Event()

    def run(self):
        numbers = itertools.count(int(time.time() * 1000))
        while not self.over.wait(EVERY_S):
            body = b"%016x" % next(numbers)
            try:
                self.ask(body)
            except Exception as error:  # noqa: B902 - whatever it is, the run does not count
                self.wrong = f"sample {self.count + 1}: {error!r}"
                return
            self.count += 1

    def finish(self):
        self.over.set()
        self.join(timeout=30)
        require(self.wrong is None, self.wrong)
        require(self.count > 0 and not self.is_alive(), "no sample was answered")
        return self.count


def load(command, seconds):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=seconds + 30, check=False)
    require(done.returncode == 0, f"{command[0]} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout


# --- HTTP -------------------------------------------------------------------------------------------


class HttpServer:
    """`expected` gives the right answer for a body; `fixed` says that all answers have the same length."""

    under_way = CONNECTIONS

    def __init__(self, url, path="/", expected=lambda body: body, fixed=False):
        self.host = url.removeprefix("http://")
        self.url, self.path, self.expected, self.fixed = url + path, path, expected, fixed
        self.reply_bytes = 0

    def asker(self):
        connection = http.client.HTTPConnection(self.host, timeout=20)

        def ask(body):
            connection.request("POST", self.path, body, {"Content-Type": "application/octet-stream"})
            reply = connection.getresponse()
            answer = reply.read()
            require(reply.status == 200, f"status {reply.status}: {answer[:200]!r}")
            require(answer == self.expected(body), f"sent {body!r}, got {answer[:200]!r}")
            head = sum(len(name) + len(value) + 4 for name, value in reply.getheaders())
            self.reply_bytes = len(f"HTTP/1.1 {reply.status} {reply.reason}\r\n\r\n") + head + len(answer)

        return ask

    def run(self, seconds):
        sampler = Sampler(self.asker())
        sampler.start()
        try:
            out = load(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", HERE / "post.lua", self.url],
                       seconds)
        finally:
            sampler.over.set()
        samples = sampler.finish()
        seen = json.loads(next(line for line in out.splitlines() if line.startswith("{")))
        faults = {key: seen[key] for key in ("status", "connect", "read", "write", "timeout") if seen[key]}
        require(not faults, f"wrk saw {faults}")
        if self.fixed:  # every answer has the sampled length, but those that the end cut off
            whole = seen["requests"] * self.reply_bytes
            require(0 <= seen["bytes"] - whole <= CONNECTIONS * self.reply_bytes,
                    f"wrk got {seen['bytes']} bytes in {seen['requests']} answers of {self.reply_bytes}")
        return Run(seen["requests"], seen["seconds"], samples)


# --- gRPC -------------------------------------------------------------------------------------------


def invoke_request(pool, body):
    """A poolgate.v1.InvokeRequest {pool = 1, payload = 2}; both are shorter than 128 bytes."""
    return b"\x0a" + bytes([len(pool)]) + pool.encode() + b"\x12" + bytes([len(body)]) + body


def framed(message):
    return struct.pack(">BI", 0, len(message)) + message


def payload_of(message, number):
    """The first length-delimited field `number` of a protobuf message."""
    def varint(at):
        value = shift = 0
        while True:
            byte = message[at]
            value, shift, at = value | (byte & 127) << shift, shift + 7, at + 1
            if byte < 128:
                return value, at

    at = 0
    while at < len(message):
        key, at = varint(at)
        require(key & 7 in (0, 2), f"wire type {key & 7}")
        size, at = varint(at)
        if key & 7 == 2:
            if key >> 3 == number:
                return message[at:at + size]
            at += size
    raise Invalid(f"no field {number} in {message[:200]!r}")


class GrpcServer:
    """The same call for both: the peer answers with the whole message, so its field is the request's."""

    def __init__(self, url, pool, field, fixed=False, connections=CONNECTIONS, streams=1):
        self.url, self.pool, self.field, self.fixed = url + INVOKE, pool, field, fixed
        self.connections, self.streams = connections, streams
        self.under_way = connections * streams
        self.headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"]

    def ask(self, body):
        """h2load shows no answers, so the sample goes through nghttp."""
        with tempfile.NamedTemporaryFile(prefix="poolgate-bench-") as file:
            file.write(framed(invoke_request(self.pool, body)))
            file.flush()
            done = subprocess.run(["nghttp", "--no-dep", "-t", "20", "-d", file.name, *self.headers, self.url],
                                  stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
        answer = done.stdout
        require(len(answer) > 5 and answer[0] == 0 and struct.unpack(">I", answer[1:5])[0] == len(answer) - 5,
                f"no gRPC message: {answer[:200]!r} {done.stderr[:200]!r}")
        require(payload_of(answer[5:], self.field) == body, f"sent {body!r}, got {answer[:200]!r}")

    def run(self, seconds):
        sampler = Sampler(self.ask)
        sampler.start()
        message = framed(invoke_request(self.pool, BODY))
        try:
            with tempfile.NamedTemporaryFile(prefix="poolgate-bench-") as file:
                file.write(message)
                file.flush()
                out = load(["h2load", "-t1", f"-c{self.connections}", f"-m{self.streams}", "-D", seconds, "-d", file.name,
                            *self.headers, self.url], seconds)
        finally:
            sampler.over.set()
        samples = sampler.finish()
        done, good = (int(re.search(rf"(\d+) {word}", out).group(1)) for word in ("done", "succeeded"))
        bad = [int(re.search(rf"(\d+) {word}", out).group(1)) for word in ("failed", "errored", "timeout")]
        require(good > 0 and good == done and not any(bad), f"h2load: {out[out.find('requests:'):][:200]}")
        if self.fixed:  # an error of gRPC has status 200 as well, but no message
            data = int(re.search(r"\((\d+)\) data", out).group(1))
            require(abs(data - done * len(message)) <= self.under_way * len(message),
                    f"h2load got {data} bytes in {done} answers of {len(message)}")
        return Run(done, seconds, samples)


# --- pages ------------------------------------------------------------------------------------------


def at_once(workers, count, work):
    """Runs work(0) to work(count - 1) on so many threads; (wall time, results). The first fault is raised."""
    results, faults, numbers, lock = [None] * count, [], iter(range(count)), threading.Lock()

    def one():
        while not faults:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            try:
                results[number] = work(number)
            except Exception as error:  # noqa: B902 - raised below
                faults.append(error)

    began = time.monotonic()
    threads = [threading.Thread(target=one, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise Invalid(f"a page failed: {faults[0]!r}")
    return time.monotonic() - began, results


def top_of(page, file, rows):
    """Writes the first rows of a page (8-bit grey PNG, not interlaced) as a page of its own."""
    data, at, packed = page.read_bytes(), 8, b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        if kind == b"IHDR":
            header = data[at + 8:at + 8 + size]
        elif kind == b"IDAT":
            packed += data[at + 8:at + 8 + size]
        at += size + 12
    width, _, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", header)
    require((depth, colour, interlace) == (8, 0, 0), f"{page} is no plain grey PNG")
    # A row's filter looks only at the rows above it: the first rows can be kept as they are.
    picture = zlib.compress(zlib.decompressobj().decompress(packed, rows * (width + 1)))
    parts = ((b"IHDR", struct.pack(">II", width, rows) + header[8:]), (b"IDAT", picture), (b"IEND", b""))
    file.write_bytes(data[:8] + b"".join(
        struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part))
        for kind, part in parts))


def pages_through(gateway, page, count, workers):
    data = page.read_bytes()
    local = threading.local()

    def one(_):
        if not hasattr(local, "connection"):
            local.connection = http.client.HTTPConnection(gateway.host, gateway.port, timeout=120)
        local.connection.request("POST", "/v1/pools/ocr/invoke", data, {"Content-Type": "image/png"})
        reply = local.connection.getresponse()
        text = reply.read()
        require(reply.status == 200, f"status {reply.status}: {text[:200]!r}")
        return text.decode()

    return at_once(workers, count, one)


def pages_by_command(page, count, workers):
    """`tesseract` once per copy of the page, one OpenMP thread each."""
    environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}
    with tempfile.TemporaryDirectory(prefix="poolgate-bench-") as folder:
        copies = [Path(folder, f"{number}.png") for number in range(count)]
        for copy in copies:
            copy.write_bytes(page.read_bytes())

        def one(number):
            done = subprocess.run(["tesseract", copies[number], "stdout", "-l", "eng"], stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, env=environment, timeout=120, check=False)
            require(done.returncode == 0, f"tesseract: {done.stderr[-200:]}")
            return done.stdout

        return at_once(workers, count, one)
