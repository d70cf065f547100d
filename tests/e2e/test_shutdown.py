#!/usr/bin/env python3
"""shutdown: every accepted request is answered, the exit code is 0, nothing is left"""

import signal
import threading
import time

from gateway import Gateway, echo, parse_reply, receive
from support import between, check, equal, eventually, main, patient, test


def stopped(gateway, within):
    """Seconds from now until the gateway has ended."""
    began = time.monotonic()
    gateway.join(within)
    return time.monotonic() - began


def until_draining(gateway):
    """The grace is over: the pools refuse what is new."""
    eventually(lambda: gateway.events("draining"), about="the gateway drains")
    eventually(lambda: gateway.pool("echo")["wish"] == "drain", about="the pool is to drain")


@test
def sigterm_with_a_hundred_waiting_and_running_answers_every_one():
    pool = echo(slots=2, queue={"capacity": 200})
    with Gateway([pool]) as gateway:
        requests = [gateway.raw_post("echo", b"%d" % i, f"delay:{int(patient(30))}") for i in range(100)]
        replies = []
        client = threading.Thread(target=lambda: replies.extend(gateway.at_once(requests)))
        client.start()
        eventually(lambda: (state := gateway.pool("echo"))["queue"]["waiting"]
                   + state["slots"]["by_state"]["processing"] >= 90 and state["slots"]["by_state"]["processing"] == 2,
                   about="the hundred are accepted, two of them running")
        gateway.signal()
        until_draining(gateway)
        late = gateway.ask("POST", "/v1/pools/echo/invoke", b"late")
        equal((late.status, late.code), (503, "shutting_down"), "the answer to a new client")
        client.join()
        equal([(reply.status, reply.body) for reply in replies], [(200, b"%d" % i) for i in range(100)], "replies")
        gateway.join()


@test
def a_kept_connection_is_told_that_the_gateway_shuts_down():
    with Gateway([echo()], drain={"grace": "0s"}) as gateway:
        kept = gateway.connect()
        kept.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        check(b" 200 " in kept.recv(4096).split(b"\r\n")[0], "before")
        busy = gateway.send(gateway.raw_post("echo", b"busy", f"delay:{int(patient(1500))}"))
        gateway.until_slot("echo", "processing")
        gateway.signal()
        until_draining(gateway)
        kept.sendall(gateway.raw_post("echo", b"late"))
        reply = parse_reply(receive(kept))
        equal((reply.status, reply.code), (503, "shutting_down"), "the answer on the kept connection")
        check(int(reply.headers["Retry-After"]) >= 1, "Retry-After")
        equal(parse_reply(receive(busy)).body, b"busy", "the accepted request's reply")
        gateway.join()


@test
def probes_tell_the_start_and_the_drain():
    load_ms = int(patient(1500))
    with Gateway([echo(args={"load_ms": load_ms})], wait="listening",
                 drain={"grace": f"{int(patient(2))}s"}, conserve=False) as gateway:
        equal([gateway.get(path).status for path in ("/livez", "/readyz", "/startupz")], [200, 503, 503], "starting")
        eventually(lambda: gateway.get("/startupz").status == 200, within=5, about="started")
        eventually(lambda: gateway.get("/readyz").status == 200, within=3, about="ready")
        for path in ("/livez", "/readyz", "/startupz"):
            check(isinstance(gateway.json(path), dict), f"{path} has a JSON body")
        gateway.signal()
        eventually(lambda: gateway.get("/readyz").status == 503, within=1.8, about="not ready once it drains")
        equal(gateway.get("/livez").status, 200, "live while it drains")
        equal(gateway.post("echo", b"in the grace").body, b"in the grace", "still serving during the grace")
        gateway.join()


@test
def the_grace_is_kept_by_one_sigterm_and_skipped_by_a_second():
    with Gateway([echo()], drain={"grace": "60s", "timeout": "120s"}) as gateway:
        gateway.signal()
        eventually(lambda: gateway.get("/readyz").status == 503, about="not ready")
        equal(gateway.post("echo", b"x").status, 200, "still serving")
        gateway.signal()
        check(stopped(gateway, within=10) < patient(5), "the second SIGTERM ended the grace")


@test
def sigint_skips_the_grace():
    with Gateway([echo()], drain={"grace": "60s", "timeout": "120s"}) as gateway:
        gateway.signal(signal.SIGINT)
        check(stopped(gateway, within=10) < patient(5), "SIGINT ended without a grace")


@test
def the_drain_timeout_bounds_what_does_not_finish():
    limit = patient(1)
    with Gateway([echo(slots=2)], drain={"grace": "0s", "timeout": f"{int(limit * 1000)}ms"}) as gateway:
        stuck = [gateway.send(gateway.raw_post("echo", b"x", operation)) for operation in ("hang", "delay:600000")]
        gateway.until_processing("echo", 2)
        queued = gateway.send(gateway.raw_post("echo", b"queued"))
        gateway.until_waiting("echo", 1)
        gateway.signal()
        took = stopped(gateway, within=10)
        between(limit * 0.9, took, limit + patient(2), "seconds of the drain")
        for connection in [*stuck, queued]:
            reply = parse_reply(receive(connection))
            equal((reply.status, reply.code), (503, "shutting_down"), "answer to what could not be finished")


@test
def a_third_signal_ends_at_once():
    with Gateway([echo()], drain={"grace": "60s", "timeout": "120s"}, conserve=False, expect_exit=None) as gateway:
        stuck = gateway.send(gateway.raw_post("echo", b"x", "hang"))
        gateway.until_slot("echo", "processing")
        for _ in range(3):
            gateway.signal()
            time.sleep(0.1)  # signals of one kind that are pending together arrive as one
        check(stopped(gateway, within=10) < patient(3), "the third signal ended it")
        stuck.close()


@test
def sigterm_while_workers_load_ends_cleanly():
    with Gateway([echo(slots=2, args={"load_ms": 60_000})], wait="listening") as gateway:
        gateway.until_slot("echo", "loading")
        gateway.signal()
        check(stopped(gateway, within=10) < patient(6), "ended without waiting for the load")


@test
def idle_connections_do_not_hold_the_shutdown():
    with Gateway([echo()]) as gateway:
        fresh = [gateway.connect() for _ in range(20)]
        used = [gateway.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n") for _ in range(20)]
        for connection in used:
            check(b" 200 " in connection.recv(4096), "the first reply")
        gateway.signal()
        check(stopped(gateway, within=10) < patient(2), "idle connections did not hold it")
        for connection in [*fresh, *used]:
            connection.close()


@test
def a_request_that_is_never_sent_to_its_end_holds_the_shutdown_no_longer_than_the_drain():
    limit = patient(2)
    with Gateway([echo()], drain={"timeout": f"{int(limit * 1000)}ms"}, conserve=False) as gateway:
        half = gateway.send(gateway.raw_post("echo", b"x" * 1000)[:-500])
        gateway.signal()
        check(stopped(gateway, within=10) < limit + patient(2), "it ended with the drain's time")
        half.close()


@test
def ten_starts_and_stops_in_a_row_are_clean():
    for _ in range(10):
        with Gateway([echo(slots=2)], wait="listening"):
            pass


@test
def half_a_body_does_not_hold_the_end_up():
    with Gateway([echo()], drain={"grace": "0s", "timeout": "20s"}) as gateway:
        client = gateway.send(b"POST /v1/pools/echo/invoke HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nhalf")
        eventually(lambda: gateway.pool("echo")["queue"]["bytes"] == 4, about="half of it has come")
        gateway.signal()
        check(stopped(gateway, 15) < patient(5), "the end waits for a body that nobody will take")
        client.close()


main(__doc__)
