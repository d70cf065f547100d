#!/usr/bin/env python3
"""client gone: who leaves gives the slot back; who leaves the queue never runs"""

import time

from gateway import Gateway, echo, reset
from leaving import finish, half_close, queued_request_never_runs, running_request_is_cancelled
from support import check, equal, eventually, main, test


@test
def a_running_request_is_cancelled_within_100_ms_of_a_fin():
    running_request_is_cancelled(echo(), finish)


@test
def a_running_request_is_cancelled_within_100_ms_of_a_reset():
    running_request_is_cancelled(echo(), reset)


@test
def a_half_close_counts_as_gone():
    running_request_is_cancelled(echo(), half_close)


@test
def a_queued_request_whose_client_sends_fin_never_runs():
    queued_request_never_runs(echo(), finish)


@test
def a_queued_request_whose_client_resets_never_runs():
    queued_request_never_runs(echo(), reset)


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
