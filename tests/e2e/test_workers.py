#!/usr/bin/env python3
"""workers: killed, hanging, babbling, never ready - the slot comes back and the gateway goes on"""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from gateway import SERVING, Gateway, echo
from support import between, build, check, equal, eventually, main, patient, test


def in_background(function):
    """Starts function on a thread; the result comes from calling what is returned."""
    result = []
    thread = threading.Thread(target=lambda: result.append(function()), daemon=True)
    thread.start()

    def finish():
        thread.join(patient(60))
        check(result, "the request sent in the background was answered")
        return result[0]

    return finish


def another_worker(gateway, pool, old_pid, index=0, within=5.0):
    return eventually(
        lambda: (slot := gateway.slot(pool, index))["state"] in SERVING and slot["pid"] != old_pid and slot,
        within=within, about=f"slot {pool}/{index} serves again with another process than {old_pid}")


def moves(slot):
    return [(step["from"], step["to"]) for step in slot["transitions"]]


@test
def a_worker_killed_at_work_is_replaced_and_its_request_is_retried():
    with Gateway([echo(slots=2)]) as gateway:
        with ThreadPoolExecutor(20) as clients:
            replies = [clients.submit(gateway.post, "echo", b"job %d" % i, "delay:150") for i in range(20)]
            victim = gateway.until_slot("echo", "processing")
            os.kill(victim["pid"], signal.SIGKILL)
            killed = time.monotonic()
            back = eventually(
                lambda: (slot := gateway.slot("echo"))["pid"] not in (victim["pid"], 0, None)
                and slot["state"] in ("ready", "idle", "processing") and slot,
                about="the slot is ready again with a new process")
            check(time.monotonic() - killed < patient(2), "the slot was ready again in under 2 s")
            replies = [reply.result() for reply in replies]
        for i, reply in enumerate(replies):
            equal((reply.status, reply.body), (200, b"job %d" % i), f"reply {i}")
        attempts = sorted(int(reply.headers["Poolgate-Attempts"]) for reply in replies)
        equal(attempts, [1] * 19 + [2], "attempts of the twenty requests")
        equal(back["restarts"], 1, "restarts of the slot")
        check(("processing", "failed") in moves(back) and ("failed", "dead") in moves(back),
              f"the way of a busy slot that is killed: {moves(back)}")
        check("signal 9" in (back["last_error"] or ""), f"last_error says what happened: {back['last_error']}")
        equal(gateway.metrics().sum("poolgate_slot_restarts_total", pool="echo"), 1, "restarts in the metrics")


@test
def without_retries_a_killed_worker_costs_its_request_alone():
    with Gateway([echo(retry={"crashes": 0})]) as gateway:
        reply = in_background(lambda: gateway.post("echo", b"x", "delay:20000"))
        victim = gateway.until_slot("echo", "processing")
        os.kill(victim["pid"], signal.SIGKILL)
        reply = reply()
        equal((reply.status, reply.code), (502, "worker_crashed"), "the request's answer")
        check(reply.seconds < patient(2), "answered at once")
        another_worker(gateway, "echo", victim["pid"], within=2)
        equal(gateway.post("echo", b"next").body, b"next", "the next request")


@test
def a_request_that_crashes_every_worker_is_not_tried_for_ever():
    with Gateway([echo(slots=2)]) as gateway:
        reply = gateway.post("echo", b"x", "crash")
        check((reply.status, reply.code) in ((422, "quarantined"), (502, "worker_crashed")), f"answer: {reply!r}")
        equal(int(reply.headers["Poolgate-Attempts"]), 2, "attempts with retry.crashes: 1")
        equal(gateway.post("echo", b"next", timeout_ms=patient(5000)).body, b"next", "the next request")
        equal(sum(slot["restarts"] + (slot["state"] == "dead") for slot in gateway.slots("echo")), 2, "slots lost")


@test
def a_worker_that_is_never_ready_times_out_the_request_that_woke_it():
    pool = echo(slots=(0, 1), args={"load_ms": 600_000}, timeouts={"load": f"{int(patient(400))}ms"})
    with Gateway([pool]) as gateway:
        reply = gateway.post("echo", b"x")
        equal((reply.status, reply.code), (504, "spawn_timeout"), "the request's answer")
        between(patient(0.4) * 0.9, reply.seconds, patient(2.4), "seconds until it was answered")
        slot = gateway.slot("echo")
        check(("loading", "failed") in moves(slot), f"loading → failed: {moves(slot)}")


@test
def a_worker_that_cannot_load_refuses_with_advice_when_to_come_back():
    with Gateway([echo(slots=(0, 1), args={"load_fail": 1})]) as gateway:
        first = gateway.post("echo", b"x")
        equal((first.status, first.code), (503, "spawn_failed"), "the answer to the one who woke it")
        check("failed as asked" in first.json()["detail"], f"the worker's own words: {first.json()['detail']}")
        second = gateway.post("echo", b"x")
        equal((second.status, second.code), (503, "spawn_failed"), "the answer while loading backs off")
        for reply in (first, second):
            check(int(reply.headers["Retry-After"]) >= 1, "Retry-After in whole seconds")
            check(reply.json()["retry_after_ms"] >= 1, "retry_after_ms")
        check(second.seconds < patient(0.5), "refused at once, not after another load")


@test
def a_required_pool_that_cannot_load_makes_the_gateway_not_ready_but_live():
    with Gateway([echo(args={"load_fail": 1})], wait="listening") as gateway:
        eventually(lambda: gateway.pool("echo")["health"] == "unhealthy", about="the pool is unhealthy")
        equal(gateway.get("/livez").status, 200, "livez")
        equal(gateway.get("/readyz").status, 503, "readyz")
        equal(gateway.get("/startupz").status, 503, "startupz")
        check("echo" in gateway.get("/readyz").body.decode(), "the reason names the pool")
        equal(gateway.json("/healthz")["status"], "unhealthy", "healthz")


@test
def a_hanging_worker_is_stopped_after_the_deadline_and_comes_back():
    pool = echo(timeouts={"kill": "300ms"})
    with Gateway([pool]) as gateway:
        old = gateway.slot("echo")["pid"]
        deadline = int(patient(400))
        reply = gateway.post("echo", b"x", "hang", timeout_ms=deadline)
        equal((reply.status, reply.code), (504, "deadline_exceeded"), "the request's answer")
        between(deadline / 1000 * 0.98, reply.seconds, deadline / 1000 + patient(0.1), "seconds until it came")
        back = another_worker(gateway, "echo", old, within=4)
        whys = {step["why"] for step in back["transitions"]}
        check("deadline" in whys, f"the slot was stopped because of the deadline: {whys}")
        equal(gateway.post("echo", b"next").body, b"next", "the next request")


@test
def a_worker_deaf_to_term_is_killed():
    pool = echo(timeouts={"cancel": "200ms", "kill": "200ms"})
    with Gateway([pool]) as gateway:
        old = gateway.slot("echo")["pid"]
        os.kill(old, signal.SIGSTOP)  # TERM stays pending for a stopped process: only KILL ends it
        reply = gateway.post("echo", b"x", timeout_ms=int(patient(200)))
        equal(reply.code, "deadline_exceeded", "the request's answer")
        another_worker(gateway, "echo", old, within=5)
        equal(gateway.post("echo", b"next").body, b"next", "the next request")


def stopped_worker_is_found(interval_ms, timeout_ms):
    health = {"interval": f"{int(patient(interval_ms))}ms", "timeout": f"{int(patient(timeout_ms))}ms", "misses": 2}
    with Gateway([echo(health=health)]) as gateway:
        old = gateway.slot("echo")["pid"]
        os.kill(old, signal.SIGSTOP)
        back = another_worker(gateway, "echo", old, within=4)
        check("ping_missed" in {step["why"] for step in back["transitions"]}, "why it was replaced")


@test
def a_stopped_worker_is_found_by_its_health_pings():
    stopped_worker_is_found(interval_ms=200, timeout_ms=100)


@test
def a_stopped_worker_is_found_although_pings_are_closer_together_than_their_timeout():
    stopped_worker_is_found(interval_ms=100, timeout_ms=300)


@test
def a_busy_worker_answers_its_health_pings():
    with Gateway([echo(health={"interval": "50ms", "timeout": f"{int(patient(500))}ms", "misses": 2})]) as gateway:
        old = gateway.slot("echo")["pid"]
        equal(gateway.post("echo", b"x", "stubborn:1200").body, b"x", "the reply of a worker deep in work")
        equal(gateway.slot("echo")["pid"], old, "the same process")


@test
def garbage_on_the_control_socket_fails_the_slot_and_nothing_else():
    with Gateway([echo(), echo("other")]) as gateway:
        old = gateway.slot("echo")["pid"]
        reply = gateway.post("echo", b"x", "garbage")
        check(reply.code in ("ok", "worker_crashed", "quarantined"), f"answered by the rules: {reply!r}")
        equal(gateway.post("other", b"fine").body, b"fine", "the other pool")
        back = another_worker(gateway, "echo", old)
        check("protocol" in {step["why"] for step in back["transitions"]}, f"why it failed: {moves(back)}")
        equal(gateway.post("echo", b"next").body, b"next", "the next request")


@test
def a_worker_that_exits_0_in_the_middle_of_a_request_has_failed():
    with Gateway([echo(retry={"crashes": 0})]) as gateway:
        old = gateway.slot("echo")["pid"]
        reply = gateway.post("echo", b"x", "exit:0")
        equal((reply.status, reply.code), (502, "worker_crashed"), "the request's answer")
        back = another_worker(gateway, "echo", old)
        check("exited" in {step["why"] for step in back["transitions"]}, f"why: {back['transitions']}")
        check("exit status 0" in back["last_error"], f"last_error: {back['last_error']}")
        equal(gateway.post("echo", b"next").body, b"next", "the next request")


@test
def a_worker_that_ends_once_is_retried_and_its_client_sees_only_the_answer():
    with Gateway([echo(args={"exit_on": 2})]) as gateway:
        equal(gateway.post("echo", b"first").body, b"first", "the first request")
        reply = gateway.post("echo", b"second")
        equal((reply.status, reply.body, reply.headers["Poolgate-Attempts"]), (200, b"second", "2"), "the second")


@test
def a_flood_on_stderr_is_drained_bounded_and_counted():
    with Gateway([echo()], keep_log_bounded=2 << 20) as gateway:
        reply = gateway.post("echo", b"still here", f"stderr:{16 << 10}")
        equal((reply.status, reply.body), (200, b"still here"), "the reply of a worker that wrote 16 MiB of stderr")
        equal(gateway.post("echo", b"next").body, b"next", "the next request")
        gateway.stop()
        logged = sum("flood that was asked for" in line.get("text", "") for line in gateway.events("worker"))
        dropped = sum(int(line["lines"]) for line in gateway.events("worker_log_dropped"))
        check(logged > 0 and dropped > 0, f"{logged} lines are in the log, {dropped} were dropped")
        equal(logged + dropped, 16 << 14, "every line was logged or counted as dropped")


@test
def a_worker_sees_only_the_environment_that_was_passed():
    pool = echo(env={"pass": ["PATH"], "set": {"COLOUR": "green"}})
    secret = {"SECRET_OF_THE_GATEWAY": "do-not-pass"}
    with Gateway([pool], environment=secret) as gateway:
        with open(f"/proc/{gateway.slot('echo')['pid']}/environ", "rb") as file:
            seen = dict(item.split(b"=", 1) for item in file.read().split(b"\0") if item)
        check(b"SECRET_OF_THE_GATEWAY" not in seen, "nothing else reaches the worker")
        equal(seen.get(b"COLOUR"), b"green", "what was set")
        check(b"PATH" in seen, "what was passed")


@test
def a_worker_leads_its_own_group_and_inherits_no_foreign_descriptor():
    with Gateway([echo(slots=2)]) as gateway:
        held = gateway.connect()
        equal(gateway.post("echo", b"x").status, 200, "status")
        for slot in gateway.slots("echo"):
            pid = slot["pid"]
            equal(os.getpgid(pid), pid, "process group")
            targets = {int(fd): os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
            sockets = [fd for fd, target in targets.items() if target.startswith("socket:")]
            equal(sockets, [3], f"sockets of the worker: {targets}")
            check(set(targets) >= {0, 1, 2, 3}, f"standard descriptors and the control socket: {targets}")
        held.close()


def pinned(cpus, slots=1, **more):
    pool = echo(slots=slots, **more)
    pool["slots"]["cpus"] = cpus
    return pool


def allowed(path):
    with open(f"{path}/status", encoding="ascii") as file:
        return next(line.split()[1] for line in file if line.startswith("Cpus_allowed_list:"))


@test
def a_worker_runs_on_the_processors_that_its_pool_names():
    here = sorted(os.sched_getaffinity(0))
    with Gateway([pinned(str(here[-1]), slots=2), echo("free")]) as gateway:
        for slot in gateway.slots("echo"):
            equal(allowed(f"/proc/{slot['pid']}"), str(here[-1]), "where a worker of the pool may run")
        own = allowed("/proc/self")
        equal(allowed(f"/proc/{gateway.slot('free')['pid']}"), own, "where a worker of another pool may run")
        equal(allowed(f"/proc/{gateway.pid}"), own, "where the gateway may run")
        equal(gateway.post("echo", b"there").body, b"there", "a request to it")


@test
def workers_that_place_themselves_have_a_processor_each():
    here = sorted(os.sched_getaffinity(0))
    with Gateway([pinned("auto", slots=len(here))]) as gateway:
        equal([allowed(f"/proc/{slot['pid']}") for slot in gateway.slots("echo")], [str(cpu) for cpu in here],
              "where each worker may run")


@test
def a_worker_whose_processors_are_not_there_says_so():
    with Gateway([pinned("4095", slots=(0, 1))]) as gateway:
        reply = gateway.post("echo", b"x")
        equal((reply.status, reply.code), (503, "spawn_failed"), "the request's answer")
        check("none of --cpus can be used" in reply.json()["detail"], f"the worker's own words: {reply.json()}")


@test
def no_worker_survives_a_killed_gateway():
    with Gateway([echo(slots=3)], expect_exit=-signal.SIGKILL, conserve=False) as gateway:
        busy = [gateway.send(gateway.raw_post("echo", b"x", operation))
                for operation in ("hang", "stubborn:60000", "delay:60000")]
        gateway.until_processing("echo", 3)
        check(len(gateway.marked_processes()) >= 3, "three workers carry this test's mark")
        os.kill(gateway.pid, signal.SIGKILL)
        gateway.join()
        eventually(lambda: not gateway.marked_processes(), within=5, about="all workers are gone")
        for connection in busy:
            connection.close()


@test
def an_idle_pool_gives_its_extra_workers_back_and_grows_again():
    pool = echo(slots=(1, 3), timeouts={"idle": f"{int(patient(1500))}ms"}, scale={"policy": "adaptive"})
    with Gateway([pool]) as gateway:
        def load():
            with ThreadPoolExecutor(6) as clients:
                return [r.status for r in clients.map(lambda _: gateway.post("echo", b"x", "delay:400"), range(18))]

        most = in_background(load)
        eventually(lambda: sum(s["state"] == "processing" for s in gateway.slots("echo")) == 3, within=6,
                   about="under load all three slots work")
        equal(most(), [200] * 18, "replies under load")
        eventually(lambda: sum(s["state"] in SERVING for s in gateway.slots("echo")) == 1, within=10,
                   about="one worker is left when there is nothing to do")
        equal(gateway.post("echo", b"again").status, 200, "the next request")


@test
def a_pool_with_min_0_starts_its_first_worker_for_the_first_request():
    with Gateway([echo(slots=(0, 1), args={"load_ms": 200})]) as gateway:
        equal([slot["state"] for slot in gateway.slots("echo")], ["dead"], "nothing runs before")
        reply = gateway.post("echo", b"wake up")
        equal((reply.status, reply.body), (200, b"wake up"), "the first reply")
        check(reply.timing["cold"] >= 200, f"the cold start shows in Server-Timing: {reply.timing}")
        warm = gateway.post("echo", b"awake")
        equal(warm.timing["cold"], 0.0, "cold time of the second request")


if build.kind == "tsan":
    # A thread sanitizer's runtime takes its time to start: what the scaler does meanwhile is not the point.
    from support import tests
    tests.remove(an_idle_pool_gives_its_extra_workers_back_and_grows_again)

main(__doc__)
