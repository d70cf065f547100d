#!/usr/bin/env python3
"""threads: what holds for workers on processes holds for workers on threads of the gateway

The end-to-end list of the processes (traffic, admission, client_gone, workers, shutdown), for pools with
`isolation: thread`. A thread shares the gateway's memory, descriptors, signals and end, so this part of the
list cannot apply to it:

  crash, exit:N, exit_on   abort, a fault or exit in a thread ends the gateway itself: a plug-in that may do
                           that belongs into a process, and so there is no retry and no quarantine to see
  kill -9, SIGSTOP         a thread has no process id of its own: a signal meets the whole gateway
  TERM and KILL            nothing can end a thread from outside: it is asked, then abandoned (below)
  garbage                  there is no control socket on a known descriptor to write to; that the operation
                           is refused on a thread is tested below
  a flood on stderr        a thread's stderr is the gateway's: nothing is captured, counted or bounded
  environment, process     there is no start of a program: the environment is the gateway's, and there is
  group, descriptors       no group and no table of descriptors to look at
  outliving the gateway    a thread ends with its process

What only a thread has is tested here instead: it is abandoned when it hangs, at most twice in a pool.
"""

import hashlib
import os
import random
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gateway import SERVING, Gateway, echo, parse_reply, receive, reset
from leaving import finish, half_close, queued_request_never_runs, running_request_is_cancelled
from support import between, build, check, equal, eventually, main, patient, skip, test

LAST_WORKER_FD = 5  # 0 to 2, the control socket, the rings' memory, the bell
KIB, MIB = 1 << 10, 1 << 20
SIZES = (0, 1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 255 * KIB, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1, 257 * KIB,
         MIB, 60 * MIB)


def threads(name="echo", **more):
    return echo(name, isolation="thread", **more)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def pattern(size):
    """What the operation size:BYTES answers."""
    return bytes(range(251)) * (size // 251) + bytes(range(size % 251))


def whys(slot):
    return [step["why"] for step in slot["transitions"]]


def refused(reply, status, code):
    equal((reply.status, reply.code), (status, code), "the refusal")
    check(int(reply.headers["Retry-After"]) >= 1, "Retry-After in whole seconds")
    check(reply.json()["retry_after_ms"] >= 1, "retry_after_ms")


def own_descriptors(gateway):
    """How many descriptors the gateway has open, its TCP sockets aside: those come and go with every question."""
    table = Path(f"/proc/{gateway.pid}/net/tcp").read_text().splitlines()[1:]
    connections = {f"socket:[{line.split()[9]}]" for line in table}
    count = 0
    for entry in gateway.look_into("fd"):
        try:
            count += os.readlink(f"/proc/{gateway.pid}/fd/{entry}") not in connections
        except FileNotFoundError:
            pass
    return count


def ends_with_abandoned(gateway, count):
    """The gateway ends with 0 although threads of its own were left behind, and says how many."""
    gateway.stop()
    equal(gateway.process.returncode, 0, "exit code")
    stopped = gateway.events("stopped")
    equal([int(line["abandoned_threads"]) for line in stopped], [count], "abandoned threads in the last log line")


def back_after_restart(gateway, pool="echo", restarts=1, within=8.0):
    return eventually(lambda: (slot := gateway.slot(pool))["state"] in SERVING and slot["restarts"] == restarts
                      and slot, within=within, about=f"slot {pool}/0 serves again after {restarts} restarts")


# --- traffic ---------------------------------------------------------------------------------------------


@test
def two_hundred_mixed_requests_go_through_two_thread_slots():
    kinds = [
        lambda g, i: (g.post("echo", b"plain %d" % i), 200, b"plain %d" % i),
        lambda g, i: (g.post("echo", b"slow %d" % i, "delay:10"), 200, b"slow %d" % i),
        lambda g, i: (g.post("echo", b"deaf %d" % i, "stubborn:10"), 200, b"deaf %d" % i),
        lambda g, i: (g.post("echo", b"pieces %d" % i, "chunks:3"), 200, b"pieces %d" % i),
        lambda g, i: (g.post("echo", b"", f"size:{i * 2997}"), 200, pattern(i * 2997)),
        lambda g, i: (g.post("echo", b"x", "invalid"), 400, None),
        lambda g, i: (g.post("echo", b"x", "fail"), 500, None),
        lambda g, i: (g.post("echo", b"x", "no such operation"), 415, None),
        lambda g, i: (g.post("echo", bytes([i]) * (i + 1) * KIB, "meta"), 200, bytes([i]) * (i + 1) * KIB),
    ]
    dice = random.Random(20)
    plan = [(dice.choice(kinds), i) for i in range(200)]
    with Gateway([threads(slots=2)]) as gateway:
        with ThreadPoolExecutor(16) as clients:
            results = list(clients.map(lambda step: step[0](gateway, step[1]), plan))
        for reply, status, body in results:
            equal(reply.status, status, f"status of {reply!r}")
            if body is not None:
                equal(sha256(reply.body), sha256(body), "the body's digest")
        gateway.served("echo", 200)
        slots = gateway.slots("echo")
        check(all(slot["requests"] > 0 for slot in slots), "both slots worked")
        equal(sum(slot["restarts"] for slot in slots), 0, "restarts")
        check(not [pid for pid in gateway.marked_processes() if pid != gateway.pid], "no worker is a process")
        ends_with_abandoned(gateway, 0)


@test
def bodies_of_every_size_are_the_same_bytes_as_a_process_gives():
    with Gateway([echo("process"), threads("thread")]) as gateway:
        for size in SIZES:
            data = os.urandom(size)
            for operation, expected in ((None, data), ("chunks:3", data), (f"size:{size}", pattern(size))):
                body = b"" if operation and operation.startswith("size") else data
                digests = {}
                for pool in gateway.pools:
                    reply = gateway.post(pool, body, operation, headers={"Content-Type": "application/x-test"})
                    equal((reply.status, len(reply.body)), (200, size), f"{pool}, {operation}: status and length")
                    digests[pool] = sha256(reply.body), reply.headers["Content-Type"]
                equal(digests["thread"], digests["process"], f"digest and type of {size} bytes, {operation}")
                equal(digests["thread"][0], sha256(expected), f"digest of {size} bytes, {operation}")
        for pool in gateway.pools:
            gateway.until_no_bytes(pool)
            equal(gateway.slot(pool)["restarts"], 0, "restarts")


@test
def errors_of_the_worker_are_the_same_as_a_process_gives():
    expected = {"fail": (500, "worker_error"), "invalid": (400, "invalid_request"),
                "no-such-operation": (415, "unsupported_media_type")}
    with Gateway([echo("process"), threads("thread")]) as gateway:
        for operation, answer in expected.items():
            replies = {pool: gateway.post(pool, b"x", operation) for pool in gateway.pools}
            for pool, reply in replies.items():
                equal((reply.status, reply.code), answer, f"{operation} of {pool}")
            words = {pool: reply.json()["detail"] for pool, reply in replies.items()}
            equal(words["thread"], words["process"], f"the worker's words about {operation}")
        for pool in gateway.pools:
            gateway.served(pool, len(expected))
            slot = gateway.slot(pool)
            equal((slot["errors"], slot["restarts"], slot["last_error"]), (1, 0, "failed as asked"), f"slot of {pool}")
        equal(gateway.post("thread", b"next").body, b"next", "the next request")


@test
def garbage_for_the_control_socket_is_refused_on_a_thread():
    with Gateway([threads()]) as gateway:
        reply = gateway.post("echo", b"x", "garbage")
        equal((reply.status, reply.code), (415, "unsupported_media_type"), "answer")
        equal(gateway.post("echo", b"next").body, b"next", "the next request")
        equal(gateway.slot("echo")["restarts"], 0, "restarts")


@test
def of_sixty_at_once_exactly_twelve_are_served_in_every_one_of_five_rounds():
    run_ms = int(150 * max(1, build.slack / 2))
    with Gateway([threads(slots=2, queue={"capacity": 10})]) as gateway:
        for turn in range(5):
            replies = gateway.at_once([gateway.raw_post("echo", b"%d" % i, f"delay:{run_ms}") for i in range(60)])
            codes = [reply.code for reply in replies]
            equal((codes.count("ok"), codes.count("queue_full")), (12, 48), f"ok and queue_full in round {turn}")
            for i, reply in enumerate(replies):
                if reply.status == 200:
                    equal(reply.body, b"%d" % i, "an accepted one's own body")
                else:
                    refused(reply, 503, "queue_full")
                    check(reply.seconds < run_ms / 1000, f"refused at once, not after {reply.seconds:.3f} s")
        gateway.served("echo", 60)


# --- clients that leave ----------------------------------------------------------------------------------


@test
def a_request_running_on_a_thread_is_cancelled_within_100_ms_of_a_fin():
    running_request_is_cancelled(threads(), finish, lambda gateway: ends_with_abandoned(gateway, 0))


@test
def a_request_running_on_a_thread_is_cancelled_within_100_ms_of_a_reset():
    running_request_is_cancelled(threads(), reset, lambda gateway: ends_with_abandoned(gateway, 0))


@test
def a_half_close_counts_as_gone_for_a_thread():
    running_request_is_cancelled(threads(), half_close, lambda gateway: ends_with_abandoned(gateway, 0))


@test
def a_request_queued_for_a_thread_whose_client_sends_fin_never_runs():
    queued_request_never_runs(threads(), finish)


@test
def a_request_queued_for_a_thread_whose_client_resets_never_runs():
    queued_request_never_runs(threads(), reset)


# --- loading ---------------------------------------------------------------------------------------------


@test
def a_thread_worker_that_cannot_load_refuses_with_advice_when_to_come_back():
    with Gateway([threads(slots=(0, 1), args={"load_fail": 1})]) as gateway:
        first = gateway.post("echo", b"x")
        refused(first, 503, "spawn_failed")
        check("failed as asked" in first.json()["detail"], f"the worker's own words: {first.json()['detail']}")
        second = gateway.post("echo", b"x")
        refused(second, 503, "spawn_failed")
        check(second.seconds < patient(0.5), "refused at once, not after another load")
        ends_with_abandoned(gateway, 0)


@test
def a_thread_worker_that_loads_too_long_times_out_the_request_that_woke_it_and_is_abandoned():
    limit_ms = int(patient(400))
    pool = threads(slots=(0, 1), args={"load_ms": 600_000}, timeouts={"load": f"{limit_ms}ms", "kill": "200ms"})
    with Gateway([pool]) as gateway:
        reply = gateway.post("echo", b"x")
        equal((reply.status, reply.code), (504, "spawn_timeout"), "the request's answer")
        between(limit_ms / 1000 * 0.9, reply.seconds, patient(2.4), "seconds until it was answered")
        slot = gateway.slot("echo")
        check("load_timeout" in whys(slot), f"why it failed: {whys(slot)}")
        check("timeouts.load" in slot["last_error"], f"last_error: {slot['last_error']}")
        ends_with_abandoned(gateway, 1)


@test
def a_thread_pool_with_min_0_starts_for_the_first_request_and_gives_its_threads_back():
    pool = threads(slots=(0, 1), args={"load_ms": 200}, timeouts={"idle": f"{int(patient(1200))}ms"},
                   scale={"policy": "adaptive"})
    with Gateway([pool]) as gateway:
        equal([slot["state"] for slot in gateway.slots("echo")], ["dead"], "nothing runs before")
        before = gateway.threads(), own_descriptors(gateway)
        reply = gateway.post("echo", b"wake up")
        equal((reply.status, reply.body), (200, b"wake up"), "the first reply")
        check(reply.timing["cold"] >= 200, f"the cold start shows in Server-Timing: {reply.timing}")
        check(gateway.threads() > before[0], "its worker is a thread of the gateway")
        equal(gateway.post("echo", b"awake").timing["cold"], 0.0, "cold time of the second request")
        gateway.until_slot("echo", "dead", within=10)
        eventually(lambda: gateway.threads() == before[0], about=f"{before[0]} threads again")
        eventually(lambda: own_descriptors(gateway) == before[1], about=f"{before[1]} descriptors again")
        equal(gateway.post("echo", b"again").body, b"again", "the next request")
        ends_with_abandoned(gateway, 0)


# --- threads that do not let go ----------------------------------------------------------------------------


@test
def a_cooperative_thread_past_its_deadline_is_free_at_once_and_lives_on():
    with Gateway([threads()]) as gateway:
        deadline = int(patient(300))
        reply = gateway.post("echo", b"x", "delay:60000", timeout_ms=deadline)
        equal((reply.status, reply.code), (504, "deadline_exceeded"), "the request's answer")
        between(deadline / 1000 * 0.98, reply.seconds, deadline / 1000 + patient(0.12), "seconds until it came")
        equal(gateway.post("echo", b"next", timeout_ms=int(patient(800))).body, b"next", "the next request")
        equal(gateway.slot("echo")["restarts"], 0, "restarts")
        ends_with_abandoned(gateway, 0)


@test
def a_hanging_thread_is_abandoned_after_the_deadline_and_its_slot_comes_back():
    with Gateway([threads(timeouts={"kill": "300ms"})]) as gateway:
        before = gateway.threads()
        deadline = int(patient(400))
        reply = gateway.post("echo", b"x", "hang", timeout_ms=deadline)
        equal((reply.status, reply.code), (504, "deadline_exceeded"), "the request's answer")
        between(deadline / 1000 * 0.98, reply.seconds, deadline / 1000 + patient(0.12), "seconds until it came")
        equal(gateway.slot("echo")["state"], "processing", "its worker still has it")
        back = back_after_restart(gateway)
        check("deadline" in whys(back), f"the slot was stopped because of the deadline: {whys(back)}")
        check("still busy after its deadline" in back["last_error"], f"last_error: {back['last_error']}")
        check(gateway.threads() > before, "the abandoned thread is still there, beside its successor")
        equal(gateway.post("echo", b"next").body, b"next", "the next request")
        equal(gateway.pool("echo")["health"], "healthy", "one hang does not make a pool unhealthy")
        ends_with_abandoned(gateway, 1)


@test
def a_request_behind_a_hanging_thread_is_served_by_its_successor():
    with Gateway([threads(timeouts={"kill": "300ms"})]) as gateway:
        hung = gateway.send(gateway.raw_post("echo", b"x", "hang", timeout_ms=int(patient(300))))
        gateway.until_slot("echo", "processing")
        reply = gateway.post("echo", b"patience")
        equal((reply.status, reply.body, reply.headers["Poolgate-Attempts"]), (200, b"patience", "1"), "the one behind")
        equal(parse_reply(receive(hung)).code, "deadline_exceeded", "the one that hung")
        ends_with_abandoned(gateway, 1)


@test
def a_stubborn_thread_whose_client_left_is_abandoned_and_gives_everything_back_when_it_ends():
    pool = threads(timeouts={"cancel": "200ms", "kill": "200ms"})
    with Gateway([pool]) as gateway:
        before = gateway.threads(), own_descriptors(gateway)
        connection = gateway.send(gateway.raw_post("echo", b"x" * MIB, f"stubborn:{int(patient(2500))}"))
        gateway.until_slot("echo", "processing")
        connection.close()
        back = back_after_restart(gateway)
        check("cancel" in whys(back), f"why: {whys(back)}")
        check(gateway.threads() > before[0], "the abandoned thread still works")
        equal(gateway.post("echo", b"next").body, b"next", "the successor, while the other still works")
        eventually(lambda: gateway.threads() == before[0], within=6, about=f"{before[0]} threads again")
        eventually(lambda: own_descriptors(gateway) == before[1], about=f"{before[1]} descriptors again")
        equal(gateway.post("echo", b"last").body, b"last", "a reply nobody waits for did no harm")
        gateway.served("echo", 2)
        ends_with_abandoned(gateway, 1)


@test
def a_thread_that_ends_within_timeouts_kill_is_not_abandoned():
    pool = threads(timeouts={"cancel": "100ms", "kill": f"{int(patient(10))}s"})
    with Gateway([pool]) as gateway:
        connection = gateway.send(gateway.raw_post("echo", b"x", f"stubborn:{int(patient(1000))}"))
        gateway.until_slot("echo", "processing")
        connection.close()
        check("cancel" in whys(back_after_restart(gateway)), "it was asked to end because of the cancel")
        equal(gateway.post("echo", b"next").body, b"next", "the next request")
        ends_with_abandoned(gateway, 0)


@test
def two_hangs_make_the_pool_unhealthy_while_another_pool_keeps_serving():
    pools = [threads(timeouts={"kill": "200ms"}), threads("other", required=False), echo("process", required=False)]
    with Gateway(pools) as gateway:
        for turn in (1, 2):
            equal(gateway.post("echo", b"x", "hang", timeout_ms=int(patient(200))).code, "deadline_exceeded",
                  f"hang {turn}")
            if turn == 1:
                back_after_restart(gateway)
                equal(gateway.json("/healthz")["status"], "healthy", "after the first")
        for name in ("other", "process"):
            equal(gateway.post(name, b"meanwhile").body, b"meanwhile", f"{name} while the second is being stopped")
        eventually(lambda: gateway.pool("echo")["health"] == "unhealthy", within=6, about="the pool is unhealthy")
        gateway.until_slot("echo", "dead")
        for _ in range(3):
            reply = gateway.post("echo", b"x")
            refused(reply, 503, "no_workers")
            check(reply.seconds < patient(0.5), "refused at once")
        health = gateway.json("/healthz")
        equal((health["status"], {pool["name"]: pool["health"] for pool in health["pools"]}),
              ("unhealthy", {"echo": "unhealthy", "other": "healthy", "process": "healthy"}), "healthz")
        eventually(lambda: gateway.get("/readyz").status == 503, within=3, about="the required pool makes it not ready")
        check("echo" in gateway.get("/readyz").body.decode(), "the reason names the pool")
        equal(gateway.get("/livez").status, 200, "livez")
        for name in ("other", "process"):
            with ThreadPoolExecutor(4) as clients:
                replies = [clients.submit(gateway.post, name, b"%d" % i) for i in range(40)]
            equal([reply.result().body for reply in replies], [b"%d" % i for i in range(40)], f"replies of {name}")
            equal(gateway.slot(name)["restarts"], 0, f"restarts of {name}")
        slot = gateway.slot("echo")
        equal((slot["state"], slot["restarts"]), ("dead", 1), "no third worker was started")
        ends_with_abandoned(gateway, 2)


@test
def after_two_hangs_the_slot_that_is_left_serves_though_the_pool_is_unhealthy():
    with Gateway([threads(slots=2, timeouts={"kill": "200ms"})]) as gateway:
        for turn in (1, 2):
            equal(gateway.post("echo", b"x", "hang", timeout_ms=int(patient(200))).code, "deadline_exceeded",
                  f"hang {turn}")
            if turn == 1:
                eventually(lambda: sum(slot["restarts"] for slot in gateway.slots("echo")) == 1
                           and all(slot["state"] in SERVING for slot in gateway.slots("echo")), within=6,
                           about="both slots serve again")
        eventually(lambda: sorted(slot["state"] in SERVING for slot in gateway.slots("echo")) == [False, True]
                   and gateway.pool("echo")["slots"]["by_state"]["dead"] == 1, within=6,
                   about="one slot is dead, the other serves")
        equal(gateway.pool("echo")["health"], "unhealthy", "health of the pool")
        equal([gateway.post("echo", b"%d" % i).body for i in range(20)], [b"%d" % i for i in range(20)], "replies")
        equal(gateway.post("echo", b"x", "delay:1000").status, 200, "a reply that takes longer than a slot's back-off")
        equal(gateway.pool("echo")["slots"]["by_state"]["dead"], 1, "dead slots")
        equal(sum(slot["restarts"] for slot in gateway.slots("echo")), 1, "no third worker was started")
        equal(gateway.get("/readyz").status, 200, "readyz")
        ends_with_abandoned(gateway, 2)


@test
def who_waits_when_the_last_thread_is_abandoned_is_told_that_there_are_no_workers():
    with Gateway([threads(slots=2, timeouts={"kill": "200ms"})]) as gateway:
        hung = [gateway.send(gateway.raw_post("echo", b"x", "hang", timeout_ms=int(patient(500)))) for _ in range(2)]
        gateway.until_processing("echo", 2)
        waiting = [gateway.send(gateway.raw_post("echo", b"x", timeout_ms=int(patient(5000)))) for _ in range(3)]
        gateway.until_waiting("echo", 3)
        for connection in hung:
            equal(parse_reply(receive(connection)).code, "deadline_exceeded", "a hang")
        for connection in waiting:
            refused(parse_reply(receive(connection)), 503, "no_workers")
        ends_with_abandoned(gateway, 2)


@test
def a_busy_thread_answers_its_health_pings():
    pool = threads(health={"interval": "50ms", "timeout": f"{int(patient(500))}ms", "misses": 2})
    with Gateway([pool]) as gateway:
        equal(gateway.post("echo", b"x", "stubborn:1200").body, b"x", "the reply of a worker deep in work")
        slot = gateway.slot("echo")
        equal((slot["restarts"], slot["last_error"]), (0, None), "restarts and last_error")


# --- the end -----------------------------------------------------------------------------------------------


@test
def sigterm_with_a_hundred_waiting_and_running_on_threads_answers_every_one():
    with Gateway([threads(slots=2, queue={"capacity": 200})]) as gateway:
        requests = [gateway.raw_post("echo", b"%d" % i, f"delay:{int(patient(30))}") for i in range(100)]
        replies = []
        client = threading.Thread(target=lambda: replies.extend(gateway.at_once(requests)), daemon=True)
        client.start()
        eventually(lambda: (state := gateway.pool("echo"))["queue"]["waiting"]
                   + state["slots"]["by_state"]["processing"] >= 90 and state["slots"]["by_state"]["processing"] == 2,
                   about="the hundred are accepted, two of them running")
        gateway.signal()
        eventually(lambda: gateway.pool("echo")["wish"] == "drain", about="the pool is to drain")
        late = gateway.ask("POST", "/v1/pools/echo/invoke", b"late")
        equal((late.status, late.code), (503, "shutting_down"), "the answer to a new client")
        client.join(patient(60))
        equal([(reply.status, reply.body) for reply in replies], [(200, b"%d" % i) for i in range(100)], "replies")
        equal(gateway.join(), 0, "exit code")
        equal(gateway.events("stopped")[0]["abandoned_threads"], "0", "abandoned threads")


@test
def a_hanging_thread_holds_the_shutdown_no_longer_than_the_drain():
    limit = patient(1)
    pool = threads(slots=2, timeouts={"kill": "200ms"})
    drain = {"grace": "0s", "timeout": f"{int(limit * 1000)}ms"}
    with Gateway([pool], drain=drain, conserve=False) as gateway:  # three are unanswered until the drain is over
        stuck = [gateway.send(gateway.raw_post("echo", b"x", operation)) for operation in ("hang", "delay:600000")]
        gateway.until_processing("echo", 2)
        stuck.append(gateway.send(gateway.raw_post("echo", b"queued")))
        gateway.until_waiting("echo", 1)
        began = time.monotonic()
        ends_with_abandoned(gateway, 1)
        between(limit * 0.9, time.monotonic() - began, limit + patient(2), "seconds of the drain")
        for connection in stuck:
            reply = parse_reply(receive(connection))
            equal((reply.status, reply.code), (503, "shutting_down"), "answer to what could not be finished")


@test
def sigterm_while_threads_load_ends_cleanly():
    pool = threads(slots=2, args={"load_ms": 600_000}, timeouts={"kill": "200ms"})
    with Gateway([pool], wait="listening") as gateway:
        gateway.until_slot("echo", "loading")
        began = time.monotonic()
        ends_with_abandoned(gateway, 2)
        check(time.monotonic() - began < patient(6), "ended without waiting for the load")


@test
def five_starts_and_stops_with_threads_are_clean():
    for _ in range(5):
        with Gateway([threads(slots=3), echo("process")]) as gateway:
            equal(gateway.post("echo", b"x", "chunks:2").status, 200, "status")
            ends_with_abandoned(gateway, 0)


# --- beside processes --------------------------------------------------------------------------------------


@test
def a_process_killed_beside_a_thread_pool_under_load_does_not_disturb_it():
    kills = 3
    with Gateway([threads("thread", slots=2), echo("process")]) as gateway:
        stop = threading.Event()

        def load(pool):
            replies = []
            while not stop.is_set():
                body = b"%s %d" % (pool.encode(), len(replies))
                reply = gateway.post(pool, body, "delay:5")
                replies.append((reply, body))
            return replies

        def kill(restarts):
            victim = gateway.until_slot("process", "processing")
            os.kill(victim["pid"], signal.SIGKILL)
            killed = time.monotonic()
            eventually(lambda: (slot := gateway.slot("process"))["restarts"] == restarts
                       and slot["state"] in (*SERVING, "processing"), about=f"restart {restarts} of the process")
            check(time.monotonic() - killed < patient(2), "the process's slot was ready again in under 2 s")

        with ThreadPoolExecutor(5) as clients:
            loads = [clients.submit(load, pool) for pool in ("thread", "thread", "thread", "process", "process")]
            try:
                for turn in range(kills):
                    kill(turn + 1)
            finally:
                stop.set()
            results = [future.result() for future in loads]
        for replies in results:
            check(replies, "every client had work")
            for reply, body in replies:
                equal((reply.status, reply.body), (200, body), "reply")
        undisturbed = [reply for replies in results[:3] for reply, _ in replies]
        equal({reply.headers["Poolgate-Attempts"] for reply in undisturbed}, {"1"}, "attempts on threads")
        slowest = max(reply.seconds for reply in undisturbed)
        check(slowest < patient(1), f"no reply of a thread took long: the slowest {slowest:.3f} s")
        equal([(slot["restarts"], slot["errors"], slot["last_error"]) for slot in gateway.slots("thread")],
              [(0, 0, None)] * 2, "restarts, errors and last_error of the threads")
        gateway.served("thread", len(undisturbed))
        ends_with_abandoned(gateway, 0)


def mapped_rings(pid):
    """The inodes of the ring memories that a process has mapped, and every other memory file it has."""
    rings, others = set(), set()
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        if found := re.match(r"\S+ \S+ \S+ (\S+) (\d+)\s+(/memfd:.*)", line):
            device, inode, name = found.groups()
            (rings if name.startswith("/memfd:poolgate-rings") else others).add((device, int(inode)))
    return rings, others


@test
def the_memory_of_a_process_slot_cannot_be_reached_from_another():
    with Gateway([echo(slots=2), threads("thread")]) as gateway:
        for size in (0, 1000, MIB):  # through the rings, and beside them
            with ThreadPoolExecutor(2) as clients:
                replies = [clients.submit(gateway.post, "echo", bytes(size), "delay:50") for _ in range(2)]
            equal([reply.result().status for reply in replies], [200] * 2, "status")
        gateway.until_no_bytes("echo")
        slots = gateway.slots("echo")
        check(all(slot["requests"] > 0 for slot in slots), "both slots worked")
        seen = []
        for slot in slots:
            pid = slot["pid"]
            rings, others = mapped_rings(pid)
            equal((len(rings), others), (1, set()), f"ring memories, and other memory files, mapped by {slot['id']}")
            seen += rings
            open_files = {int(fd): os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
            check(max(open_files) <= LAST_WORKER_FD, f"nothing above {LAST_WORKER_FD} is open: {open_files}")
            held = {os.stat(f"/proc/{pid}/fd/{fd}").st_ino for fd, name in open_files.items() if "memfd:" in name}
            check(held <= {inode for _, inode in rings}, f"no memory of somebody else's is held: {open_files}")
        check(seen[0] != seen[1], f"each has its own memory: {seen}")
        own, _ = mapped_rings(gateway.pid)
        equal(own, set(seen), "what the gateway has mapped: those two, and for its thread none that has a name")


def allowed(gateway):
    """Where each thread of the gateway may run."""
    for task in Path(f"/proc/{gateway.pid}/task").iterdir():
        with open(task / "status", encoding="ascii") as file:
            yield next(line.split()[1] for line in file if line.startswith("Cpus_allowed_list:"))


@test
def a_worker_runs_on_the_processors_that_its_pool_names_and_the_gateway_where_it_likes():
    here = sorted(os.sched_getaffinity(0))
    if len(here) == 1:
        skip("there is one processor: everything runs on it")
    pool = threads()
    pool["slots"]["cpus"] = str(here[-1])
    with Gateway([pool, threads("free")]) as gateway:
        equal(gateway.post("echo", b"there").body, b"there", "a request to it")
        seen = list(allowed(gateway))
        equal(seen.count(str(here[-1])), 2, f"threads on that processor, computing and talking, of {seen}")


@test
def a_worker_whose_processors_are_not_there_does_not_start():
    pool = threads(slots=(0, 1))
    pool["slots"]["cpus"] = "4095"
    with Gateway([pool]) as gateway:
        reply = gateway.post("echo", b"x")
        equal((reply.status, reply.code), (503, "spawn_failed"), "the request's answer")
        eventually(lambda: gateway.events("thread_not_placed"), about="the log says why")


main(__doc__)
