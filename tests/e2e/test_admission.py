#!/usr/bin/env python3
"""admission: exact permits, the reserve, the order of the queue, deadlines"""

import threading
import time

from gateway import Gateway, echo, parse_reply, receive
from support import between, build, check, equal, main, patient, test


@test
def of_sixty_at_once_exactly_twelve_are_served_in_every_one_of_twenty_rounds():
    run_ms = int(150 * max(1, build.slack / 2))
    pool = echo(slots=2, queue={"capacity": 10})
    with Gateway([pool]) as gateway:
        resident = []
        for turn in range(20):
            replies = gateway.at_once([gateway.raw_post("echo", b"%d" % i, f"delay:{run_ms}") for i in range(60)])
            codes = [reply.code for reply in replies]
            equal((codes.count("ok"), codes.count("queue_full")), (12, 48), f"ok and queue_full in round {turn}")
            for reply in replies:
                if reply.status != 200:
                    equal(reply.status, 503, "status of a refusal")
                    check(int(reply.headers["Retry-After"]) >= 1, "Retry-After in whole seconds")
                    check(reply.json()["retry_after_ms"] >= 1, "retry_after_ms")
                    check(reply.seconds < run_ms / 1000, f"refused at once, not after {reply.seconds:.3f} s")
            resident.append(gateway.resident_kib())
        if not build.sanitized:  # a sanitizer keeps freed memory back on purpose
            growth = resident[-1] - resident[4]
            check(growth <= 1024, f"resident memory from round 5 to 20 grew by {growth} KiB: {resident}")
        numbers = gateway.metrics()
        equal(numbers.sum("poolgate_requests_total", pool="echo", code="ok"), 240, "served in all")
        equal(numbers.sum("poolgate_requests_total", pool="echo", code="queue_full"), 960, "refused in all")


@test
def a_full_queue_keeps_its_reserve_for_the_critical():
    pool = echo(queue={"capacity": 10, "reserve": "10%"})
    with Gateway([pool]) as gateway:
        hold = f"delay:{int(patient(1500))}"
        waiting = [gateway.send(gateway.raw_post("echo", b"x", hold if i == 0 else "delay:1")) for i in range(11)]
        gateway.until_waiting("echo", 10)
        for priority in (None, "normal", "low", "batch"):
            reply = gateway.post("echo", b"x", priority=priority)
            equal(reply.code, "queue_full", f"one more of priority {priority}")
        waiting.append(gateway.send(gateway.raw_post("echo", b"x", priority="critical")))
        gateway.until_waiting("echo", 11)
        equal(gateway.post("echo", b"x", priority="critical").code, "queue_full", "the reserve is one place of ten")
        equal([parse_reply(receive(connection)).status for connection in waiting], [200] * 12, "the accepted twelve")


def completion_order(gateway, requests):
    """Holds the only slot, queues the requests one by one, and reports in which order they were answered."""
    order, lock = [], threading.Lock()
    holder = gateway.send(gateway.raw_post("echo", b"hold", f"delay:{int(patient(800))}"))
    gateway.until_slot("echo", "processing")

    def collect(name, connection):
        reply = parse_reply(receive(connection))
        with lock:
            order.append(name)
        equal(reply.status, 200, f"status of {name}")

    threads = []
    for number, (name, headers) in enumerate(requests, 1):
        connection = gateway.send(gateway.raw_post("echo", b"x", f"delay:{int(patient(50))}", headers=headers))
        gateway.until_waiting("echo", number)
        threads.append(threading.Thread(target=collect, args=(name, connection)))
        threads[-1].start()
    counted = gateway.pool("echo")["queue"]["by_priority"]
    for thread in threads:
        thread.join()
    equal(parse_reply(receive(holder)).body, b"hold", "the holder's reply")
    return order, counted


@test
def the_higher_class_goes_first_and_equals_in_order_of_arrival():
    classes = ["batch", "low", "normal", "high", "critical"]
    requests = [(f"{name} {turn}", {"Poolgate-Priority": name}) for turn in (1, 2) for name in classes]
    with Gateway([echo()]) as gateway:
        order, counted = completion_order(gateway, requests)
        equal(order, [f"{name} {turn}" for name in reversed(classes) for turn in (1, 2)], "order of completion")
        equal(counted, {name: 2 for name in classes}, "by_priority while they waited")


@test
def the_urgency_of_rfc_9218_is_understood():
    requests = [(f"u={u}", {"Priority": f"u={u}"}) for u in (7, 5, 3, 1, 0)]
    requests.append(("no header", {}))
    requests.append(("own header wins", {"Priority": "u=0", "Poolgate-Priority": "batch"}))
    with Gateway([echo()]) as gateway:
        order, counted = completion_order(gateway, requests)
        equal(order, ["u=0", "u=1", "u=3", "no header", "u=5", "u=7", "own header wins"], "order of completion")
        equal(counted, {"critical": 1, "high": 1, "normal": 2, "low": 1, "batch": 2}, "by_priority")


@test
def a_request_that_waits_too_long_is_answered_at_its_deadline_and_never_runs():
    with Gateway([echo()]) as gateway:
        holder = gateway.send(gateway.raw_post("echo", b"x", f"delay:{int(patient(1500))}"))
        gateway.until_slot("echo", "processing")
        reply = gateway.post("echo", b"y", timeout_ms=int(patient(300)))
        equal((reply.status, reply.code), (504, "deadline_exceeded"), "the waiting request's answer")
        between(patient(0.3) * 0.98, reply.seconds, patient(0.42), "seconds until it came")
        equal(parse_reply(receive(holder)).status, 200, "the running request's answer")
        gateway.served("echo", 1)


@test
def a_deadline_in_the_queue_includes_the_run():
    with Gateway([echo()]) as gateway:
        deadline = int(patient(600))
        holder = gateway.send(gateway.raw_post("echo", b"x", f"delay:{deadline // 2}"))
        gateway.until_slot("echo", "processing")
        began = time.monotonic()
        reply = gateway.post("echo", b"y", f"delay:{deadline * 4}", timeout_ms=deadline)
        equal(reply.code, "deadline_exceeded", "answer")
        between(deadline / 1000 * 0.98, time.monotonic() - began, deadline / 1000 + patient(0.12), "seconds in all")
        holder.close()


@test
def timeouts_max_caps_what_a_client_may_ask_and_request_is_the_default():
    cap = int(patient(400))
    pools = [echo("capped", timeouts={"max": f"{cap}ms", "request": f"{cap}ms"}),
             echo("default", timeouts={"request": f"{cap}ms"})]
    with Gateway(pools) as gateway:
        for pool, asked in (("capped", 60_000), ("default", None)):
            reply = gateway.post(pool, b"x", f"delay:{cap * 10}", timeout_ms=asked)
            equal((reply.status, reply.code), (504, "deadline_exceeded"), f"answer of {pool}")
            between(cap / 1000 * 0.98, reply.seconds, cap / 1000 + patient(0.12), f"seconds of {pool}")
        longer = gateway.post("default", b"x", f"delay:{cap * 2}", timeout_ms=cap * 10)
        equal(longer.status, 200, "a client may ask for more than the default")


@test
def the_bytes_of_waiting_bodies_are_bounded():
    pool = echo(queue={"bytes": "1MiB"})
    with Gateway([pool]) as gateway:
        holder = gateway.send(gateway.raw_post("echo", b"x", f"delay:{int(patient(1500))}"))
        gateway.until_slot("echo", "processing")
        waiting = [gateway.send(gateway.raw_post("echo", b"b" * 400_000)) for _ in range(2)]
        gateway.until_waiting("echo", 2)
        refused = gateway.post("echo", b"b" * 400_000)
        equal((refused.status, refused.code), (503, "queue_full"), "the third body of 400 kB")
        check(int(refused.headers["Retry-After"]) >= 1, "Retry-After")
        equal(gateway.post("echo", b"small").body, b"small", "a small one still fits")
        for connection in [holder, *waiting]:
            equal(parse_reply(receive(connection)).status, 200, "an accepted one")
        gateway.until_no_bytes("echo")


main(__doc__)
