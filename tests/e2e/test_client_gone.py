#!/usr/bin/env python3
"""client gone: who leaves gives the slot back; who leaves the queue never runs"""

import socket
import time

from gateway import Gateway, echo, reset
from support import build, check, equal, eventually, in_time, main, patient, test

LIMIT_S = 0.1 if not build.sanitized else 1.0


def finish(connection):
    connection.close()


def half_close(connection):
    connection.shutdown(socket.SHUT_WR)


def running_request_is_cancelled(leave):
    with Gateway([echo()]) as gateway:
        connection = gateway.send(gateway.raw_post("echo", b"x", "delay:5000"))
        gateway.until_slot("echo", "processing")
        left = time.monotonic()
        leave(connection)
        eventually(lambda: gateway.slot("echo")["state"] != "processing", about="the slot is free", every=0.001)
        took = time.monotonic() - left
        in_time(took, LIMIT_S, "from the client's leaving to the free slot")
        reply = gateway.post("echo", b"next", timeout_ms=int(patient(1000)))
        equal((reply.status, reply.body), (200, b"next"), "the slot takes the next request")
        slot = gateway.slot("echo")
        equal(slot["restarts"], 0, "restarts: a cooperative worker lives on")
        eventually(lambda: gateway.metrics().sum("poolgate_requests_total", pool="echo", code="cancelled") == 1,
                   about="the request is counted as cancelled")
        equal(gateway.metrics().sum("poolgate_cancel_seconds_count", pool="echo"), 1, "cancels measured")
        connection.close()


@test
def a_running_request_is_cancelled_within_100_ms_of_a_fin():
    running_request_is_cancelled(finish)


@test
def a_running_request_is_cancelled_within_100_ms_of_a_reset():
    running_request_is_cancelled(reset)


@test
def a_half_close_counts_as_gone():
    running_request_is_cancelled(half_close)


def queued_request_never_runs(leave):
    with Gateway([echo()]) as gateway:
        first = gateway.send(gateway.raw_post("echo", b"first", f"delay:{int(patient(1000))}"))
        gateway.until_slot("echo", "processing")
        second = gateway.send(gateway.raw_post("echo", b"second"))
        gateway.until_waiting("echo", 1)
        left = time.monotonic()
        leave(second)
        eventually(lambda: gateway.pool("echo")["queue"]["waiting"] == 0, about="nobody waits", every=0.001)
        in_time(time.monotonic() - left, LIMIT_S, "from the client's leaving to the empty queue")
        equal(gateway.slot("echo")["state"], "processing", "the first still runs")
        gateway.until_slot("echo", "ready", "idle")
        gateway.served("echo", 1)
        check(b"first" in first.recv(4096), "the first request's reply")
        first.close()
        eventually(lambda: gateway.metrics().sum("poolgate_requests_total", pool="echo", code="cancelled") == 1,
                   about="the queued request is counted as cancelled")


@test
def a_queued_request_whose_client_sends_fin_never_runs():
    queued_request_never_runs(finish)


@test
def a_queued_request_whose_client_resets_never_runs():
    queued_request_never_runs(reset)


@test
def a_stubborn_worker_is_stopped_after_the_cancel_grace():
    pool = echo(timeouts={"cancel": "300ms", "kill": "300ms"})
    with Gateway([pool]) as gateway:
        old = gateway.slot("echo")["pid"]
        connection = gateway.send(gateway.raw_post("echo", b"x", "stubborn:60000"))
        gateway.until_slot("echo", "processing")
        connection.close()
        back = eventually(lambda: (slot := gateway.slot("echo"))["pid"] not in (old, 0, None)
                          and slot["state"] in ("ready", "idle") and slot, about="the slot serves again")
        check("cancel" in {step["why"] for step in back["transitions"]}, f"why: {back['transitions']}")
        equal(gateway.post("echo", b"next").body, b"next", "the next request")


@test
def a_client_that_leaves_while_it_sends_its_body_costs_nothing():
    with Gateway([echo()], conserve=False) as gateway:
        for leave in (finish, reset):
            request = gateway.raw_post("echo", b"x" * 100_000)
            connection = gateway.send(request[:50_000])
            time.sleep(0.02)
            leave(connection)
        gateway.until_no_bytes("echo")
        gateway.served("echo", 0)
        equal(gateway.post("echo", b"next").body, b"next", "the next request")


@test
def fifty_clients_that_leave_at_random_moments_leave_nothing_behind():
    with Gateway([echo(slots=2)], conserve=False) as gateway:
        connections = []
        for i in range(50):
            connections.append(gateway.send(gateway.raw_post("echo", b"%d" % i, f"delay:{10 + i * 7 % 90}")))
            if i % 3 == 0:
                (reset if i % 2 else finish)(connections.pop(len(connections) // 2))
        for i, connection in enumerate(connections):
            (reset if i % 2 else finish)(connection)
        eventually(lambda: all(s["state"] in ("ready", "idle") for s in gateway.slots("echo")), about="both slots free")
        gateway.until_waiting("echo", 0)
        gateway.until_no_bytes("echo")
        # Bytes that the kernel still holds when a reset comes are gone: that request was never there.
        check(25 <= gateway.counted() <= 50, f"{gateway.counted()} of 50 requests are counted")
        equal(gateway.post("echo", b"next").body, b"next", "the next request")
        equal(sum(s["restarts"] for s in gateway.slots("echo")), 0, "restarts")


main(__doc__)
