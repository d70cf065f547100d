#!/usr/bin/env python3
"""policies: batches, shared runs, breaker, memory, recycling, deep checks, classes - through the whole gateway"""

import threading
import time

from gateway import Gateway, echo, parse_reply, receive
from support import between, check, equal, eventually, main, patient, test


def all_of(gateway, requests):
    """Sends each on a connection of its own, all before the first answer is read; the replies in the same order."""
    connections = [gateway.send(request) for request in requests]
    return [parse_reply(receive(connection)) for connection in connections]


def hold(gateway, pool="echo", ms=500):
    """Keeps the only slot busy."""
    connection = gateway.send(gateway.raw_post(pool, b"hold", f"delay:{int(patient(ms / 1000) * 1000)}"))
    gateway.until_slot(pool, "processing")
    return connection


@test
def what_waits_goes_together_by_its_batch_key():
    pool = echo(queue={"batch": {"max": 4, "delay": "0ms"}})
    with Gateway([pool]) as gateway:
        first = hold(gateway)
        keys = ["a", "b", "a", "b", "a", "a", "b"]
        requests = [gateway.raw_post("echo", key.encode(), headers={"Poolgate-Batch-Key": key}) for key in keys]
        connections = []
        for number, request in enumerate(requests, 1):
            connections.append(gateway.send(request))
            gateway.until_waiting("echo", number)
        replies = [parse_reply(receive(connection)) for connection in connections]
        equal([reply.body for reply in replies], [key.encode() for key in keys], "each has its own answer")
        equal([reply.headers["Poolgate-Meta-Batch"] for reply in replies], ["4", "3", "4", "3", "4", "4", "3"],
              "how many went together")
        equal(parse_reply(receive(first)).body, b"hold", "the one before them")


@test
def a_batch_is_waited_for_no_longer_than_its_delay():
    delay_s = patient(0.2)
    pool = echo(queue={"batch": {"max": 8, "delay": f"{int(delay_s * 1000)}ms"}})
    with Gateway([pool]) as gateway:
        began = time.monotonic()
        replies = all_of(gateway, [gateway.raw_post("echo", b"x") for _ in range(3)])
        between(delay_s * 0.9, time.monotonic() - began, delay_s + patient(0.5), "seconds that three of eight waited")
        equal({reply.headers["Poolgate-Meta-Batch"] for reply in replies}, {"3"}, "how many went together")
        began = time.monotonic()
        replies = all_of(gateway, [gateway.raw_post("echo", b"x") for _ in range(8)])
        check(time.monotonic() - began < delay_s * 0.9, "a full batch goes at once")


@test
def one_bad_item_of_a_batch_fails_alone():
    with Gateway([echo(queue={"batch": {"max": 4, "delay": "0ms"}})]) as gateway:
        first = hold(gateway)
        connections = [gateway.send(gateway.raw_post("echo", b"x", operation))
                       for operation in ("invalid", None, "fail", None)]
        gateway.until_waiting("echo", 4)
        codes = [parse_reply(receive(connection)) for connection in connections]
        equal([reply.status for reply in codes], [400, 200, 500, 200], "answers of a batch of four")
        receive(first)


@test
def identical_requests_share_one_run_and_keep_their_own_names():
    pool = echo(queue={"dedup": "60s"}, args={"delay_ms": int(patient(0.2) * 1000)})
    with Gateway([pool]) as gateway:
        requests = [gateway.raw_post("echo", b"the same", headers={"X-Request-Id": f"mine-{n}"}) for n in range(5)]
        requests.append(gateway.raw_post("echo", b"another"))
        replies = all_of(gateway, requests)
        equal([reply.body for reply in replies], [b"the same"] * 5 + [b"another"], "the answers")
        equal([reply.headers["X-Request-Id"] for reply in replies[:5]], [f"mine-{n}" for n in range(5)], "the names")
        equal(gateway.slot("echo")["requests"], 2, "runs")
        equal(gateway.pool("echo")["totals"]["deduplicated"], 4, "requests that joined one")
        equal(gateway.metrics().sum("poolgate_deduplicated_total", pool="echo"), 4, "the same as a metric")


@test
def the_leader_of_a_shared_run_may_leave():
    with Gateway([echo(queue={"dedup": "60s"}, args={"delay_ms": int(patient(0.4) * 1000)})]) as gateway:
        leader = gateway.send(gateway.raw_post("echo", b"the same"))
        gateway.until_slot("echo", "processing")
        follower = gateway.send(gateway.raw_post("echo", b"the same"))
        eventually(lambda: gateway.pool("echo")["totals"]["deduplicated"] == 1, about="the second has joined")
        leader.close()
        equal(parse_reply(receive(follower)).body, b"the same", "the follower's answer")
        equal(gateway.slot("echo")["requests"], 1, "runs")


@test
def the_breaker_opens_lets_probes_through_and_closes():
    breaker = {"failures": 3, "open": f"{int(patient(0.5) * 1000)}ms", "probes": 1, "successes": 2}
    with Gateway([echo(breaker=breaker)]) as gateway:
        for _ in range(2):
            equal(gateway.post("echo", b"x", "fail").code, "worker_error", "a failure of the worker")
        equal(gateway.post("echo", b"x", "invalid").status, 400, "the client's fault")
        equal(gateway.post("echo", b"x", "fail").code, "worker_error", "the third failure in a row")
        refused = gateway.post("echo", b"x")
        equal((refused.status, refused.code), (503, "circuit_open"), "while it is open")
        check(int(refused.headers["Retry-After"]) >= 1, "when to come back")
        eventually(lambda: gateway.pool("echo")["breaker"]["state"] == "open", about="it is shown as open")
        eventually(lambda: gateway.pool("echo")["breaker"]["state"] == "half_open", within=5, about="it is half open")
        equal([gateway.post("echo", b"x").status for _ in range(2)], [200, 200], "the probes")
        eventually(lambda: gateway.pool("echo")["breaker"]["state"] == "closed", about="it is shown as closed")
        check(gateway.pool("echo")["breaker"]["rejections"] >= 1, "rejections are counted")


@test
def an_idle_worker_goes_when_another_pool_needs_its_room():
    pools = [echo("first", slots=(0, 1), memory="300MiB"), echo("second", slots=(0, 1), memory="300MiB")]
    with Gateway(pools, settings=["memory.limit=500MiB"]) as gateway:
        for _ in range(2):
            for name, other in (("first", "second"), ("second", "first")):
                equal(gateway.post(name, b"x").status, 200, f"{name}, cold")
                gateway.until_slot(other, "dead")
        eventually(lambda: gateway.pool("first")["totals"]["evictions"] >= 1, about="evictions are counted")
        busy = gateway.send(gateway.raw_post("first", b"x", f"delay:{int(patient(0.5) * 1000)}"))
        gateway.until_slot("first", "processing")
        refused = gateway.post("second", b"x")
        equal((refused.status, refused.code), (503, "memory_exhausted"), "a busy worker does not go")
        check(refused.seconds < patient(0.3), f"refused at once, not after {refused.seconds:.3f} s")
        equal(parse_reply(receive(busy)).status, 200, "the busy one's answer")


@test
def workers_are_recycled_and_no_request_is_lost():
    with Gateway([echo(slots=2, recycle={"requests": 5})]) as gateway:
        statuses = [gateway.post("echo", b"x").status for _ in range(60)]
        equal(set(statuses), {200}, "answers over at least ten workers")
        eventually(lambda: gateway.pool("echo")["totals"]["recycled"] >= 8, about="they were recycled")


@test
def a_worker_that_fails_its_own_check_is_replaced():
    with Gateway([echo(health={"deep": f"{int(patient(0.2) * 1000)}ms"}),
                  echo("bad", health={"deep": f"{int(patient(0.2) * 1000)}ms"}, args={"check_fail": 1})]) as gateway:
        eventually(lambda: gateway.slot("echo")["checks"]["deep"] is not None and
                   gateway.slot("echo")["checks"]["deep"].get("sound"), about="a sound check")
        eventually(lambda: gateway.slot("bad")["restarts"] >= 1, about="the unsound one was started again")
        reasons = {move["why"] for move in gateway.slot("bad")["transitions"]}
        check("check_failed" in reasons, f"why: {reasons}")
        equal(gateway.slot("echo")["restarts"], 0, "restarts of the sound one")


@test
def what_cannot_be_met_is_refused_at_once():
    with Gateway([echo(args={"delay_ms": 100})]) as gateway:
        for _ in range(4):
            gateway.post("echo", b"x")
        waiting = [gateway.send(gateway.raw_post("echo", b"x")) for _ in range(10)]
        gateway.until_waiting("echo", 9)
        refused = gateway.post("echo", b"x", timeout_ms=300)
        equal((refused.status, refused.code), (504, "deadline_unmeetable"), "nine before it, 100 ms each, 300 ms left")
        check(refused.seconds < patient(0.2), f"refused at once, not after {refused.seconds:.3f} s")
        equal({parse_reply(receive(connection)).status for connection in waiting}, {200}, "those before it")


@test
def a_tenant_with_many_requests_does_not_hold_up_another():
    with Gateway([echo(args={"delay_ms": 20})]) as gateway:
        first = hold(gateway)
        many = [gateway.send(gateway.raw_post("echo", b"x", headers={"Poolgate-Tenant": "greedy"})) for _ in range(40)]
        gateway.until_waiting("echo", 40)
        modest = gateway.send(gateway.raw_post("echo", b"x", headers={"Poolgate-Tenant": "modest"}))
        gateway.until_waiting("echo", 41)
        check("greedy" in gateway.pool("echo")["queue"]["tenants"], "tenants are shown")
        equal(parse_reply(receive(first)).status, 200, "the one before them all")
        began = time.monotonic()
        equal(parse_reply(receive(modest)).status, 200, "the modest one's answer")
        waited = time.monotonic() - began
        check(waited < patient(0.4), f"one behind forty of 20 ms of another tenant waited {waited:.3f} s")
        equal({parse_reply(receive(connection)).status for connection in many}, {200}, "the greedy one's answers")


@test
def sixteen_clients_of_a_cold_pool_wait_for_one_load():
    with Gateway([echo(slots=(0, 1), args={"load_ms": int(patient(0.3) * 1000)})]) as gateway:
        replies, lock = [], threading.Lock()

        def ask():
            reply = gateway.post("echo", b"x")
            with lock:
                replies.append(reply)

        threads = [threading.Thread(target=ask) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        equal({reply.status for reply in replies}, {200}, "answers")
        starts = [move for move in gateway.slot("echo")["transitions"] if move["to"] == "spawning"]
        equal(len(starts), 1, "loads")


main(__doc__)
