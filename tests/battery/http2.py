"""http2 - group J: floods of frames on the gRPC port beside a client that means well."""

import multiprocessing
import socket
import struct
import threading
import time

from control import percentile
from h2 import (ACK, CONTINUATION, DATA, END_HEADERS, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS,
                WINDOW_UPDATE, Http2, invoke_request, literal)
from stage import stage
from trial import trial

PRIORITY, GOAWAY = 2, 7
MIB = 1 << 20
frame = Http2.frame


def head(stream, extra=b"", flags=END_HEADERS):
    fields = [(":method", "POST"), (":scheme", "http"), (":path", "/poolgate.v1.Gateway/Invoke"),
              (":authority", "gateway"), ("content-type", "application/grpc"), ("te", "trailers")]
    return frame(HEADERS, flags, stream, b"".join(literal(*pair) for pair in fields) + extra)


def streams():
    return range(1, 1 << 30, 2)


def rapid_reset():
    for stream in streams():
        yield head(stream) + frame(RST_STREAM, 0, stream, struct.pack(">I", 8))


def unanswered_streams():
    """HEADERS without end, and the server's SETTINGS never acknowledged."""
    for stream in streams():
        yield head(stream)


def continuations():
    yield head(1, flags=0)
    while True:
        yield frame(CONTINUATION, 0, 1, b"\0\1a\1b" * 2000)


def empty_continuations():
    yield head(1, flags=0)
    while True:
        yield frame(CONTINUATION, 0, 1, b"")


def large_blocks():
    """Each block just whole, each of 60 KiB."""
    part = literal("x-pad", "v" * 100) * 140
    for stream in streams():
        yield head(stream, flags=0) + b"".join(frame(CONTINUATION, 0, stream, part) for _ in range(3)) \
            + frame(CONTINUATION, END_HEADERS, stream, part)


def padded_numbers():
    """A length that never ends: 0x80 after 0x80 (CVE-2023-33953)."""
    yield head(1, b"\0\x7f" + b"\x80" * 8000, flags=0)
    while True:
        yield frame(CONTINUATION, 0, 1, b"\x80" * 16000)


def endless_string():
    """A header's value of a GiB, sent as it comes."""
    yield head(1, b"\0\1a\x7f" + b"\x81\xff\xff\xff\x03" + b"a" * 8000, flags=0)
    while True:
        yield frame(CONTINUATION, 0, 1, b"a" * 16000)


def settings():
    while True:
        yield frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * 100


def pings():
    while True:
        yield frame(PING, 0, 0, b"12345678") * 100


def window_updates():
    while True:
        yield frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)) * 100


def priorities():
    for stream in streams():
        yield frame(PRIORITY, 0, stream, struct.pack(">IB", 0, 15)) * 50


def empty_data():
    yield head(1)
    while True:
        yield frame(DATA, 0, 1, b"") * 100


def made_resets():
    """Streams that break the protocol, so that the server resets them (CVE-2025-8671)."""
    for stream in streams():
        yield head(stream) + frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", 0))


def unknown_frames():
    while True:
        yield frame(0xEE, 0, 0, b"x") * 100


FLOODS = (rapid_reset, unanswered_streams, continuations, empty_continuations, large_blocks, padded_numbers,
          endless_string, settings, pings, window_updates, priorities, empty_data, made_resets, unknown_frames)


class Flood(multiprocessing.Process):
    """Sends as fast as it can, from a process of its own; says after how long it was closed, and comes back until it
    is over."""

    def __init__(self, port, make, seconds):
        super().__init__(daemon=True)
        self.port, self.make, self.seconds = port, make, seconds
        self.longest, self.lives = multiprocessing.Value("d", 0), multiprocessing.Value("i", 0)

    def run(self):
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            try:
                self.longest.value = max(self.longest.value, self.once(end))
                self.lives.value += 1
            except OSError:
                time.sleep(0.02)

    def once(self, end):
        with socket.create_connection(("127.0.0.1", self.port), timeout=0.5) as connection:
            began = time.monotonic()
            try:
                connection.sendall(PREFACE + frame(SETTINGS, 0, 0, b""))
                if self.make is not unanswered_streams:
                    connection.sendall(frame(SETTINGS, ACK, 0, b""))
                for data in self.make():
                    if time.monotonic() > end:
                        break
                    connection.sendall(data)
                    connection.setblocking(False)
                    try:
                        while piece := connection.recv(65536):
                            pass
                        if piece == b"":
                            break
                    except BlockingIOError:
                        pass
                    connection.settimeout(0.5)
            except TimeoutError:
                return self.until_closed(connection, began, end)
            except OSError:
                pass
            return time.monotonic() - began

    @staticmethod
    def until_closed(connection, began, end):
        """It takes no more: is it closed, or only slow?"""
        connection.settimeout(max(0.05, end - time.monotonic()))
        try:
            while connection.recv(65536):
                pass
        except OSError:
            pass
        return time.monotonic() - began


class Good(threading.Thread):
    """One call after the other on a connection of its own."""

    def __init__(self, gateway):
        super().__init__(daemon=True)
        self.gateway, self.over, self.seconds, self.failed = gateway, threading.Event(), [], 0

    def run(self):
        with Http2(self.gateway) as client:
            while not self.over.wait(0.002):
                answer = client.finish(client.invoke("quick", b"x"))
                self.seconds.append(answer.seconds)
                self.failed += answer.status != 0

    def end(self):
        self.over.set()
        self.join()
        return percentile(self.seconds, 0.99) * 1000


def grpc_port(gateway):
    return int(gateway.events("listening")[0]["grpc"].rsplit(":", 1)[1])


def closed_by_edge(gateway):
    return gateway.metrics().sum("poolgate_edge_closed_total", frontend="grpc")


@trial("J1", "fourteen floods of frames, ten seconds each, beside a good client")
def floods(run):
    from gateway import echo

    seconds = run.seconds(10, 2)
    with stage(run, [echo("quick", slots=2)], sections={"http": {"max_per_address": 10000}}) as place:
        gateway = place.gateway
        for make in FLOODS:
            before, counted = gateway.resident_kib(), closed_by_edge(gateway)
            good, flood = Good(gateway), Flood(grpc_port(gateway), make, seconds)
            good.start()
            flood.start()
            peak = before
            while flood.is_alive():
                time.sleep(0.1)
                peak = max(peak, gateway.resident_kib())
            p99, name = good.end(), make.__name__.replace("_", " ")
            run.at_most(f"{name}: the longest of {flood.lives.value} lives", flood.longest.value, 1, "s")
            run.at_most(f"{name}: growth", (peak - before) / 1024, 16, "MiB")
            run.at_most(f"{name}: good p99 of {len(good.seconds)}", p99, 50, "ms")
            run.at_most(f"{name}: good not ok", good.failed, 0)
            run.at_least(f"{name}: counted", closed_by_edge(gateway) - counted, 1)
        place.asked = gateway.sent


@trial("J2", "200 connections, each just below the limits")
def below_limits(run):
    from gateway import echo

    count, seconds = (50 if run.short else 200), run.seconds(10, 4)
    with stage(run, [echo("quick", slots=2)]) as place:
        gateway, over = place.gateway, threading.Event()
        alone = Good(gateway)
        alone.start()
        time.sleep(seconds / 2)
        quiet = alone.end()

        def tease():
            held = []
            for _ in range(count):
                held.append(socket.create_connection(("127.0.0.1", grpc_port(gateway)), timeout=2))
                held[-1].sendall(PREFACE + frame(SETTINGS, 0, 0, b"") + frame(SETTINGS, ACK, 0, b""))
            while not over.wait(1):
                for connection in held:
                    connection.setblocking(False)
                    try:
                        connection.send(frame(PING, 0, 0, b"12345678") * 5
                                        + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)) * 20)
                        while connection.recv(65536):
                            pass
                    except OSError:
                        pass
            for connection in held:
                connection.close()

        teasing = threading.Thread(target=tease, daemon=True)
        teasing.start()
        good = Good(gateway)
        good.start()
        time.sleep(seconds)
        p99 = good.end()
        over.set()
        teasing.join()
        place.asked = gateway.sent
        run.at_most(f"good p99 ({quiet:.1f} ms alone)", p99, 100, "ms")
        run.at_most("good not ok", good.failed + alone.failed, 0)


@trial("J4", "the limit of a message, to the byte")
def message_limit(run):
    limit = 64 * 1024
    with stage(run, calm=False, sections={"grpc": {"max_message": "64KiB"}}) as place:
        gateway, statuses = place.gateway, []
        overhead = len(invoke_request("echo", b"x" * 60000)) - 60000
        for more in (-1, 0, 1):
            with Http2(gateway) as client:
                statuses.append(client.finish(client.invoke("echo", b"x" * (limit - overhead + more))).status)
        run.at_most(f"below, at, above: {statuses}, wrong", int(statuses != [0, 0, 8]), 0)


@trial("J5", "a mute peer, half a preface, a GOAWAY of old age under calls")
def odd_peers(run):
    with stage(run, sections={"http": {"header_timeout": "3s"}, "grpc": {"max_age": "1s"}}) as place:
        gateway = place.gateway
        for name, words in (("mute", b""), ("half a preface", PREFACE[:10]), ("no settings", PREFACE)):
            with socket.create_connection(("127.0.0.1", grpc_port(gateway)), timeout=15) as connection:
                began = time.monotonic()
                connection.sendall(words)
                try:
                    while connection.recv(65536):
                        pass
                except OSError:
                    pass
                run.at_most(f"{name}: cut after", time.monotonic() - began, 10, "s")
        failed = 0
        end = time.monotonic() + run.seconds(10, 4)
        while time.monotonic() < end:
            try:
                with Http2(gateway) as client:
                    for _ in range(20):
                        failed += client.finish(client.invoke("echo", b"x")).status != 0
            except AssertionError:
                failed += bool(client.under_way)  # closed between two calls is how old age ends
        place.asked = gateway.sent
        run.at_most("calls that a GOAWAY cost", failed, 0)
