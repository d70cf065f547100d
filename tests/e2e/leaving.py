"""Clients that leave while their request runs or waits: what holds for every pool of one echo slot."""

import socket
import time

from gateway import Gateway, parse_reply, receive
from support import build, equal, eventually, in_time, patient

LIMIT_S = 0.1 if not build.sanitized else 1.0  # from a client's leaving to its slot's being free


def finish(connection):
    connection.close()


def half_close(connection):
    connection.shutdown(socket.SHUT_WR)


def running_request_is_cancelled(pool, leave, at_the_end=lambda gateway: None, **sections):
    with Gateway([pool], **sections) as gateway:
        connection = gateway.send(gateway.raw_post("echo", b"x", "delay:5000"))
        gateway.until_slot("echo", "processing")
        left = time.monotonic()
        leave(connection)
        eventually(lambda: gateway.slot("echo")["state"] != "processing", about="the slot is free", every=0.001)
        took = time.monotonic() - left
        in_time(took, LIMIT_S, "from the client's leaving to the free slot")
        reply = gateway.post("echo", b"next", timeout_ms=int(patient(1000)))
        equal((reply.status, reply.body), (200, b"next"), "the slot takes the next request")
        equal(gateway.slot("echo")["restarts"], 0, "restarts: a cooperative worker lives on")
        eventually(lambda: gateway.metrics().sum("poolgate_requests_total", pool="echo", code="cancelled") == 1,
                   about="the request is counted as cancelled")
        equal(gateway.metrics().sum("poolgate_cancel_seconds_count", pool="echo"), 1, "cancels measured")
        connection.close()
        at_the_end(gateway)


def queued_request_never_runs(pool, leave, **sections):
    with Gateway([pool], **sections) as gateway:
        first = gateway.send(gateway.raw_post("echo", b"first", f"delay:{int(patient(1000))}"))
        gateway.until_slot("echo", "processing")
        second = gateway.send(gateway.raw_post("echo", b"second"))
        gateway.until_waiting("echo", 1)
        left = time.monotonic()
        leave(second)
        eventually(lambda: gateway.pool("echo")["queue"]["waiting"] == 0, about="nobody waits", every=0.001)
        in_time(time.monotonic() - left, LIMIT_S, "from the client's leaving to the empty queue")
        equal(gateway.slot("echo")["state"], "processing", "the first still runs")
        equal(parse_reply(receive(first)).body, b"first", "the first request's reply")
        gateway.served("echo", 1)
        eventually(lambda: gateway.metrics().sum("poolgate_requests_total", pool="echo", code="cancelled") == 1,
                   about="the queued request is counted as cancelled")
