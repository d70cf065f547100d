#!/usr/bin/env python3
"""events: what happens in the pools is told as it happens, to any number of clients, and a slow one delays nobody"""

import json
import os
import signal
import socket
import time

from gateway import SERVING, Gateway, echo
from h2 import Http2
from keyed import Keyed, Keys, refused
from support import check, equal, eventually, main, patient, test


class Stream:
    """A GET /v1/events that is open; the events as they come."""

    def __init__(self, gateway, query="", headers=None, buffer=None):
        self.socket = socket.socket()
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.connect((gateway.host, gateway.port))
        lines = [f"GET /v1/events{query} HTTP/1.1", "Host: localhost", *(f"{k}: {v}" for k, v in (headers or {}).items())]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self.data, self.text, self.head = b"", "", None
        self.ended = False
        self.until(": from now on")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def pump(self, wait=0.1):
        self.socket.settimeout(wait)
        try:
            piece = self.socket.recv(1 << 16)
        except TimeoutError:
            return
        self.ended |= not piece
        self.data += piece
        if self.head is None and b"\r\n\r\n" in self.data:
            head, _, self.data = self.data.partition(b"\r\n\r\n")
            self.head = head.decode()
            check(" 200 " in self.head, self.head)
        while self.head is not None and b"\r\n" in self.data:  # chunks
            size, _, rest = self.data.partition(b"\r\n")
            size = int(size, 16)
            if len(rest) < size + 2:
                return
            self.text += rest[:size].decode()
            self.data = rest[size + 2:]
            self.ended |= size == 0

    def until(self, words, within=20):
        end = time.monotonic() + patient(within)
        while words not in self.text:
            check(time.monotonic() < end and not self.ended, f"no {words!r} in {(self.head, self.text[-500:])}")
            self.pump()

    def events(self):
        """All that came so far, as (event, data)."""
        found = []
        for block in self.text.split("\n\n")[:-1]:
            fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
            if fields:
                found.append((fields["event"], json.loads(fields["data"])))
        return found


@test
def a_client_sees_what_happens_as_it_happens():
    with Gateway([echo(), echo("other")], conserve=False) as gateway, Stream(gateway) as stream, \
            Stream(gateway, "?pool=other") as of_other, Stream(gateway, "?kinds=turn,request_completed") as of_turns:
        check("200" in stream.head and "Content-Type: text/event-stream" in stream.head, stream.head)
        gateway.post("echo", b"x", headers={"X-Request-Id": "seen"})
        of_turns.until("request_completed")
        turns = [data for kind, data in of_turns.events() if kind == "turn"]
        equal((turns[0]["slot"], turns[0]["from"] in SERVING, turns[0]["to"]), ("echo/0", True, "processing"), "a turn")
        done = [data for kind, data in of_turns.events() if kind == "request_completed"][0]
        equal((done["request"], done["pool"]), ("seen", "echo"), "a completed request")
        os.kill(gateway.slot("echo")["pid"], signal.SIGSEGV)
        stream.until('"to":"failed"')
        stream.until('"from":"loading","to":"ready"')
        slots = [(data["from"], data["to"]) for kind, data in stream.events() if kind == "slot" and data["slot"] == "echo/0"]
        for move in (("failed", "dead"), ("dead", "spawning"), ("spawning", "loading"), ("loading", "ready")):
            check(move in slots, f"{move} in {slots}")
        failed = next(data for kind, data in stream.events() if data.get("to") == "failed")
        check("signal 11" in failed["error"] and failed["why"] == "crashed", f"{failed}")
        numbers = [data["sequence"] for _, data in stream.events()]
        equal(numbers, sorted(set(numbers)), "numbers rise")
        equal([data for kind, data in of_other.events() if data["pool"] != "other"], [], "of another pool")


@test
def silence_is_filled():
    with Gateway([echo()], conserve=False) as gateway, Stream(gateway, "?kinds=alarm") as stream:
        stream.until(": ping", within=15)


@test
def a_stream_ends_with_its_client_and_with_the_gateway():
    with Gateway([echo()], conserve=False) as gateway:
        before = gateway.descriptors()
        for _ in range(3):
            streams = [Stream(gateway) for _ in range(20)]
            for stream in streams:
                stream.socket.close()
        eventually(lambda: gateway.descriptors() <= before + 2, about="their sockets are closed")
        streams = [Stream(gateway) for _ in range(30)]
        gateway.post("echo", b"x")
        gateway.stop()
        for stream in streams:
            while not stream.ended:
                stream.pump(patient(5))
            stream.socket.close()


@test
def more_streams_than_there_are_feeds_are_refused():
    with Gateway([echo()], conserve=False) as gateway:
        streams = []
        try:
            while len(streams) < 70:
                streams.append(Stream(gateway))
        except AssertionError as error:
            check(" 503 " in str(error), f"{error}")
        check(40 < len(streams) < 70, f"{len(streams)} streams")
        for stream in streams:
            stream.socket.close()
        refused(gateway.get("/v1/events?kinds=slot,nonsense"), 400, "invalid_request")


@test
def a_slow_reader_loses_events_and_is_told_how_many():
    kinds = "?kinds=turn,request_started,request_completed"
    with Gateway([echo(slots=2)], conserve=False) as gateway, Stream(gateway, kinds, buffer=4096) as slow, \
            Http2(gateway) as client:
        slowest = 0
        for _ in range(100):
            for _ in range(100):
                client.invoke("echo", b"x")
            answers = client.finish_all().values()
            check(all(answer.status == 0 for answer in answers), "nobody waits for it")
            slowest = max(slowest, *(answer.seconds for answer in answers))
        check(slowest < patient(1), f"the slowest of them: {slowest:.3f} s")
        slow.until("event: lost")
        slow.until('"kind":', within=5)
        lost = [data["count"] for kind, data in slow.events() if kind == "lost"]
        check(lost and lost[0] > 0, f"lost: {lost}")


@test
def only_who_may_read_watches():
    with Keys() as keys, Keyed(keys) as gateway:
        user, reader = keys.add("user"), keys.add("reader", scope="read")
        gateway.until_seen(3)
        refused(gateway.ask("GET", "/v1/events", key=None), 401, "unauthenticated")
        refused(gateway.ask("GET", "/v1/events", key=user), 403, "permission_denied")
        with Stream(gateway, headers={"Authorization": f"Bearer {reader}"}) as stream:
            check("200" in stream.head, stream.head)


main(__doc__)
