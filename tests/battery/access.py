"""access - group L: who may do what, what must never be seen, and what is written of it."""

import re
import secrets
import socket
import subprocess
import threading
import time
from pathlib import Path

from http1 import statuses, talk
from stage import stage
from support import build, eventually
from trial import trial

SCOPES = {"invoke": "invoke", "read": "read", "admin": "invoke,read,admin"}
OPEN = ("/livez", "/readyz", "/startupz")
READ = ("/v1/pools", "/v1/pools/echo", "/v1/pools/echo/slots", "/healthz", "/metrics")


class Keys:
    def __init__(self, run):
        self.file = Path(run.folder, f"keys-{run.id}.json")

    def command(self, *words):
        return subprocess.run([build.program, "key", *words, "--file", self.file], check=True, capture_output=True,
                              text=True).stdout

    def add(self, name, *words):
        return re.search(r"pg_\w+", self.command("add", name, *words)).group(0)


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


@trial("L1", "every route with every kind of key")
def matrix(run):
    """Who has no good key comes from another address each time, or the tenth would be kept waiting."""
    keys = Keys(run)
    tokens = {name: keys.add(name, "--tenant", name, "--scope", scope) for name, scope in SCOPES.items()}
    tokens["expired"] = keys.add("expired", "--tenant", "old", "--scope", "invoke,read,admin", "--expires", "1s")
    time.sleep(1.1)
    shown = {"none": None, "empty": "", "wrong": "pg_00000000_" + "0" * 43, "basic": None, "two": None,
             "64 KiB": "x" * 65536, **tokens}
    allowed = {"invoke": {"invoke", "admin"}, "read": {"read", "admin"}}
    with stage(run, calm=False, sections={"auth": {"keys_file": str(keys.file)}, "wait": "listening",
                                          "key": tokens["admin"]}) as place:
        gateway, wrong, asked = place.gateway, [], 0
        eventually(lambda: gateway.get("/readyz").status == 200, within=15, about="it is ready")
        routes = [("GET", path, "open") for path in OPEN] + [("GET", path, "read") for path in READ]
        routes.append(("POST", "/v1/pools/echo/invoke", "invoke"))
        for method, path, need in routes:
            for who, token in shown.items():
                line = {"none": "", "basic": "Authorization: Basic eDp5\r\n",
                        "two": f"Authorization: Bearer {tokens['admin']}\r\n" * 2}.get(
                            who, f"Authorization: Bearer {token}\r\n")
                body = "Content-Length: 1\r\n\r\nx" if method == "POST" else "\r\n"
                got = statuses(talk(gateway.port, f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
                                                  f"Connection: close\r\n{line}{body}", within=5,
                                    source=None if who in SCOPES else f"127.0.1.{asked + 1}")[0])[:1]
                if need == "open":  # but no header may be so long
                    good = {431} if who == "64 KiB" else {200}
                elif who in SCOPES:
                    good = {200} if who in allowed[need] else {403}
                else:
                    good = {400, 401, 413, 429, 431}
                asked += 1
                if not got or got[0] not in good:
                    wrong.append(f"{who} {path}: {got}")
        run.at_most(f"of {asked} asked, answered otherwise {'; '.join(wrong[:4])}".strip(), len(wrong), 0)


@trial("L3", "canaries: what is secret is in no log, command line, environment, metric, state or error")
def canaries(run):
    keys = Keys(run)
    token = keys.add("canary", "--tenant", "bird", "--scope", "invoke,read,admin")
    body = "canary-" + secrets.token_hex(16)
    with stage(run, calm=False, sections={"auth": {"keys_file": str(keys.file)}, "wait": "listening", "key": token,
                                          "log": {"level": "debug"}}) as place:
        gateway, seen = place.gateway, []
        eventually(lambda: gateway.get("/readyz").status == 200, within=15, about="it is ready")
        for operation in (None, "fail", "crash"):
            headers = dict(bearer(token), **({"Poolgate-Operation": operation} if operation else {}))
            gateway.ask("POST", "/v1/pools/echo/invoke", body.encode(), headers=headers)
        texts = {path: gateway.get(path, headers=bearer(token)).body.decode() for path in READ}
        texts["an error"] = gateway.get("/v1/pools/none", headers=bearer(token)).body.decode()
        texts["a refusal"] = gateway.get("/v1/pools", headers=bearer(token + "x")).body.decode()
        texts["the log"] = gateway.log_text()
        for pid in [gateway.pid, *gateway.marked_processes()]:
            for name in ("cmdline", "environ"):
                texts[f"{name} of {pid}"] = Path(f"/proc/{pid}/{name}").read_bytes().decode("latin-1")
        secret = token.rsplit("_", 1)[1]
        for where, text in texts.items():
            seen += [where] * (secret in text or body in text)
        run.at_most(f"places where a secret is seen {seen}", len(seen), 0)
        stored = keys.file.read_text()
        run.at_most("the secret in the key file", int(secret in stored), 0)
        run.at_most("the key file is for others to read", keys.file.stat().st_mode & 0o077, 0)


@trial("L4", "what is sent shows up in the log escaped, a line for each")
def raw_bytes(run):
    nasty = ["a\x1b[31mb", "a\x07b", "a\x7fb", "caf\xe9", "a\x00b", "a\x85b"]
    with stage(run, calm=False, sections={"log": {"level": "debug"}}) as place:
        gateway = place.gateway
        before = len(gateway.log_file.read_bytes().splitlines())
        for text in nasty:
            for name in ("X-Request-Id", "Poolgate-Tenant", "Poolgate-Operation", "Poolgate-Batch-Key",
                         "Content-Type", "traceparent"):
                talk(gateway.port, f"POST /v1/pools/echo/invoke HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                                   f"{name}: {text}\r\nContent-Length: 1\r\n\r\nx", within=5)
            talk(gateway.port, f"GET /v1/pools/{text} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                 within=5)
        log = gateway.log_file.read_bytes()
        raw = sum(byte < 32 and byte != 10 or byte == 127 for byte in log)
        torn = sum(not line.startswith(b"time=") for line in log.splitlines()[before:])
        try:
            log.decode("utf-8")
            broken = 0
        except UnicodeDecodeError:
            broken = 1
        run.at_most("control bytes in the log", raw, 0)
        run.at_most("lines that are torn", torn, 0)
        run.at_most("not UTF-8", broken, 0)


@trial("L6", "a thousand wrong keys a second from one address beside a good client from another")
def wrong_keys(run):
    keys, seconds = Keys(run), run.seconds(8, 4)
    token = keys.add("good", "--tenant", "good", "--scope", "invoke,read")
    with stage(run, calm=False, sections={"auth": {"keys_file": str(keys.file)}, "wait": "listening",
                                          "key": token}) as place:
        gateway, over = place.gateway, threading.Event()
        eventually(lambda: gateway.get("/readyz").status == 200, within=15, about="it is ready")
        alone, counts = good_times(gateway, token, seconds / 2), {}

        def guess():
            connection = None
            while not over.is_set():
                began = time.monotonic()
                try:
                    if connection is None:
                        connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=2,
                                                              source_address=("127.0.0.7", 0))
                    connection.sendall(b"GET /v1/pools HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer pg_"
                                       + secrets.token_hex(4).encode() + b"_x\r\n\r\n")
                    answer = connection.recv(65536)
                    for status in statuses(answer)[:1]:
                        counts[status] = counts.get(status, 0) + 1
                    if not answer or b"close" in answer:
                        raise OSError
                except OSError:
                    if connection is not None:
                        connection.close()
                    connection = None
                time.sleep(max(0.0, 0.001 - (time.monotonic() - began)))

        guessing = threading.Thread(target=guess, daemon=True)
        guessing.start()
        beside = good_times(gateway, token, seconds)
        over.set()
        guessing.join()
        run.at_least("refused as too many", counts.get(429, 0) / max(1, sum(counts.values())) * 100, 80, "%")
        run.at_most("good requests not ok", beside[1] + alone[1], 0)
        run.at_most(f"good p99, {alone[0]:.1f} ms alone", beside[0], alone[0] * 1.2, "ms")
        run.note(str(counts))


def good_times(gateway, token, seconds):
    """p99 in ms and how many were not ok, of one client that asks a hundred times a second."""
    from control import percentile

    times, bad, end = [], 0, time.monotonic() + seconds
    while time.monotonic() < end:
        reply = gateway.ask("POST", "/v1/pools/echo/invoke", b"x", headers=bearer(token))
        times.append(reply.seconds)
        bad += reply.status != 200
        time.sleep(0.005)
    return percentile(times, 0.99) * 1000, bad
