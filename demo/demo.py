#!/usr/bin/env python3
"""demo BUILD - poolgate at work: sentences become vectors and a scanned page becomes text, over REST.

Starts the gateway with docker/poolgate.yaml on a free port, sends real requests, shows the answers, the
slots and the times, and stops it with SIGTERM. Exits 0 only if all of it was right.
"""

import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
from accuracy import accuracy  # noqa: E402 - one measure for the demo and the tests

PAGE = ROOT / "demo" / "page.png"
WANTED = 0.98
WIDTH = 92
SENTENCES = [
    "The gateway keeps a pool of workers warm and hands each of them one request at a time.",
    "A pool of warm workers: the gateway hands one request at a time to each of them.",
    "Requests wait in a queue until a worker of the pool is free.",
    "A scanned page becomes plain text.",
    "The text of a page that was scanned, as plain text.",
    "Bananas ripen faster in a warm kitchen.",
]


class Paint:
    """Colours on a terminal, plain text elsewhere."""

    on = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    @classmethod
    def code(cls, code, text):
        return f"\x1b[{code}m{text}\x1b[0m" if cls.on else text

    @classmethod
    def bold(cls, text):
        return cls.code("1", text)

    @classmethod
    def dim(cls, text):
        return cls.code("2", text)

    @classmethod
    def good(cls, text):
        return cls.code("32", text)

    @classmethod
    def bad(cls, text):
        return cls.code("31", text)

    @classmethod
    def shade(cls, share, text):
        """From grey to green, the nearer to 1 the greener."""
        return cls.code(f"38;5;{(240, 242, 65, 71, 77, 46)[min(5, int(share * 6))]}", text)


class Wrong(Exception):
    """Something is not as it should be; the text says what."""


def title(text):
    print(f"\n{Paint.bold(text)}\n{Paint.dim('─' * WIDTH)}", flush=True)


def verdict(right, text):
    print(f"  {Paint.good('right') if right else Paint.bad('WRONG')}  {text}", flush=True)
    if not right:
        raise Wrong(text)


def table(head, rows, right=()):
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]

    def line(cells):
        return "  ".join(str(cell).rjust(width) if i in right else str(cell).ljust(width)
                         for i, (cell, width) in enumerate(zip(cells, widths)))

    print("  " + Paint.dim(line(head).rstrip()))
    for row in rows:
        print("  " + line(row).rstrip())


class Gateway:
    """The program under show: started on a free port, its log in a file."""

    def __init__(self, build):
        self.log = tempfile.NamedTemporaryFile(prefix="poolgate-demo-", suffix=".log")
        command = [str(build / "poolgate"), "serve", "--config", str(ROOT / "docker" / "poolgate.yaml"),
                   "--set", "http.listen=127.0.0.1:0", "--set", "grpc.listen=127.0.0.1:0", "--set", "drain.grace=0s"]
        print("  $ " + " ".join(word.replace(f"{ROOT}/", "") for word in command[:4]) + " …")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, cwd=ROOT)
        self.times = []
        self.build = build

    def log_text(self):
        return Path(self.log.name).read_text(errors="replace")

    def wait_until_it_listens(self):
        line = r"msg=listening .*?http=(\S+) grpc=(\S+)"
        found = self.until(lambda: re.search(line, self.log_text()), 30, "it listens")
        self.url, self.grpc = f"http://{found.group(1)}", found.group(2)
        print(f"  HTTP on {self.url}, gRPC on {self.grpc}, process {self.process.pid}")

    def wait_until_all_pools_have_started(self):
        def started():
            try:
                return self.ask("/startupz", quiet=True)
            except Wrong:
                return False

        states = ""
        began = time.monotonic()
        while not started():
            now = ", ".join(f"{slot['id']} {slot['state']}" for slot in self.slots())
            if now != states:
                print(f"  {time.monotonic() - began:5.1f} s  {now}", flush=True)
                states = now
            self.still_running()
            if time.monotonic() - began > 120:
                raise Wrong("the pools have not started within 120 s")
            time.sleep(0.02)
        now = ", ".join(f"{slot['id']} {slot['state']}" for slot in self.slots())
        print(f"  {time.monotonic() - began:5.1f} s  {now}")

    def until(self, condition, seconds, what):
        end = time.monotonic() + seconds
        while not (value := condition()):
            self.still_running()
            if time.monotonic() > end:
                raise Wrong(f"not within {seconds} s: {what}")
            time.sleep(0.01)
        return value

    def still_running(self):
        if self.process.poll() is not None:
            raise Wrong(f"the gateway ended with exit code {self.process.returncode}")

    def ask(self, path, body=None, headers=None, what=None, quiet=False):
        """One request; what names it in the table of times."""
        request = urllib.request.Request(self.url + path, data=body, headers=headers or {})
        began = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=120) as reply:
                data, fields = reply.read(), reply.headers
        except urllib.error.HTTPError as error:
            text = "" if quiet else error.read().decode(errors="replace")
            raise Wrong(f"{path}: {error.code} {text}") from None
        if what:
            parts = dict(re.findall(r"(queue|cold|run);dur=([0-9.]+)", fields["Server-Timing"] or ""))
            spent = [f"{float(parts[part]):.1f}" for part in ("queue", "cold", "run")]
            self.times.append((what, fields["Poolgate-Slot"], *spent, f"{(time.monotonic() - began) * 1000:.1f}"))
        return data

    def ask_by_grpc(self, pool, file, what):
        """The same request through the other door, by the program's own client."""
        command = [str(self.build / "poolgate"), "invoke", pool, str(file), "--grpc", "--url", self.grpc, "-v"]
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, timeout=120)
        took = (time.monotonic() - began) * 1000
        said = done.stderr.decode(errors="replace")
        if done.returncode != 0:
            raise Wrong(f"poolgate invoke --grpc ended with {done.returncode}: {said}")
        parts = dict(re.findall(r"^(queue|cold|run): ([0-9.]+)", said, re.MULTILINE))
        slot = re.search(r"^slot: (\S+)", said, re.MULTILINE)
        spent = [f"{float(parts.get(part, 0)):.1f}" for part in ("queue", "cold", "run")]
        self.times.append((what, slot.group(1) if slot else "", *spent, f"{took:.1f}"))
        return done.stdout

    def slots(self):
        names = [pool["name"] for pool in json.loads(self.ask("/v1/pools"))["pools"]]
        return [slot for name in names for slot in json.loads(self.ask(f"/v1/pools/{name}/slots"))["slots"]]

    def slots_that_served(self, count):
        """All slots, once they have served so many requests together; their state follows a reply by a moment."""
        slots = self.slots()
        return slots if sum(slot["requests"] for slot in slots) >= count else None

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None


def show_curl(path, *arguments):
    print(Paint.dim("  $ " + " ".join(["curl", *arguments, "$URL" + path])))


def embed_sentences(gateway):
    title("Six sentences become vectors")
    path = "/v1/pools/embed/invoke"
    show_curl(path, "--json", "'{\"input\": [\"…\", \"…\"]}'")
    body = json.dumps({"input": SENTENCES}).encode()
    answer = json.loads(gateway.ask(path, body, {"Content-Type": "application/json"}, "embed, 6 sentences"))
    vectors = [item["embedding"] for item in answer["data"]]
    again = json.loads(gateway.ask(path, SENTENCES[0].encode(), {"Content-Type": "text/plain"}, "embed, plain text"))
    print(f"  model {answer['model']}, {len(vectors)} vectors of {len(vectors[0])} numbers\n")
    near = [[sum(x * y for x, y in zip(a, b)) for b in vectors] for a in vectors]
    for i, sentence in enumerate(SENTENCES):
        shown = sentence if len(sentence) <= WIDTH - 46 else sentence[:WIDTH - 47] + "…"
        cells = " ".join(Paint.shade(value, f"{value:5.2f}") for value in near[i])
        print(f"  {i + 1} {shown:<{WIDTH - 44}}{cells}")
    print()
    verdict(all(abs(math.sqrt(near[i][i]) - 1) < 1e-3 for i in range(len(vectors))), "every vector has length 1")
    verdict(again["data"][0]["embedding"] == vectors[0], "the same text gives the same vector, alone and in a batch")
    nearer = near[0][1] > near[0][5] and near[3][4] > near[3][5]
    verdict(nearer, "sentences that say the same are nearer than those that do not")


def read_page(gateway):
    title("A scanned page becomes text")
    path = "/v1/pools/ocr/invoke"
    show_curl(path, "-H 'Content-Type: image/png'", "--data-binary @demo/page.png")
    picture = PAGE.read_bytes()
    what = f"ocr, {len(picture) / 1024:.0f} KiB picture"
    text = gateway.ask(path, picture, {"Content-Type": "image/png"}, what).decode()
    for line in text.rstrip().splitlines():
        print(f"  {Paint.dim('│')} {line}")
    began = time.monotonic()
    share = accuracy(PAGE.with_suffix(".txt").read_text(), text)
    took = time.monotonic() - began
    print()
    right = f"{share:.2%} of the characters are right, at least {WANTED:.0%} must be"
    verdict(share >= WANTED, f"{right} (compared in {took:.2f} s)")

    title("The same page through the other door")
    print(Paint.dim("  $ build/poolgate invoke ocr demo/page.png --grpc --url " + gateway.grpc))
    other = gateway.ask_by_grpc("ocr", PAGE, "ocr over gRPC").decode()
    lines = other.rstrip().splitlines()
    for line in (*lines[:3], "…"):
        print(f"  {Paint.dim('│')} {line}")
    print()
    verdict(other == text, f"gRPC gives the same {len(lines)} lines as REST")


def show_state(gateway):
    title("Where the time went (milliseconds)")
    table(("request", "slot", "queue", "cold", "run", "seen by the client"), gateway.times, right=(2, 3, 4, 5))
    title("The slots")
    show_curl("/v1/pools/ocr/slots")
    count = len(gateway.times)
    slots = gateway.until(lambda: gateway.slots_that_served(count), 5, f"the slots have served {count} requests")
    rows = [(slot["id"], slot["state"], slot["pid"] or "", slot["requests"], slot["errors"], slot["restarts"],
             f"{slot['resident_bytes'] / 2**20:.1f} MiB" if slot["resident_bytes"] else "") for slot in slots]
    table(("slot", "state", "pid", "requests", "errors", "restarts", "resident memory"), rows, right=(2, 3, 4, 5, 6))
    print("\n  embed works on threads of the gateway, so it has no process of its own; ocr works in processes")
    served = sum(slot["requests"] for slot in slots)
    print()
    verdict(served == count, f"the slots have served {served} requests, {count} were sent")


def stop(gateway):
    title("The end")
    print(f"  $ kill -TERM {gateway.process.pid}")
    began = time.monotonic()
    code = gateway.stop()
    verdict(code == 0, f"exit code {code} after {time.monotonic() - began:.2f} s, every request answered")


def main():
    build = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build").resolve()
    title("poolgate: two doors, one queue a pool, workers on threads and in processes")
    gateway = Gateway(build)
    try:
        gateway.wait_until_it_listens()
        gateway.wait_until_all_pools_have_started()
        embed_sentences(gateway)
        read_page(gateway)
        show_state(gateway)
        stop(gateway)
    except (Wrong, OSError, KeyError, ValueError) as error:
        print(f"\n{Paint.bad('The demo has failed:')} {error}")
        print("the end of the gateway's log:\n  " + "\n  ".join(gateway.log_text().splitlines()[-20:]))
        sys.exit(1)
    finally:
        if gateway.process.poll() is None:
            gateway.stop()
    print(f"\n{Paint.good('All right.')} Try it yourself: make run, then the curl lines with URL=http://127.0.0.1:8080")


main()
