#!/usr/bin/env python3
"""chaos: workers crash, hang, dawdle and babble on purpose; every request is answered once all the same"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from gateway import SERVING, Gateway, echo
from support import check, equal, eventually, main, patient, test

CLIENTS = 8


def rehearse(chaos, pool):
    gateway = Gateway([pool], chaos={"seed": 42, pool["name"]: chaos})
    gateway.command.append("--allow-chaos")
    return gateway


def ask(gateway, count, **more):
    """Each request has a body of its own, so that an answer can only be its own."""
    with ThreadPoolExecutor(CLIENTS) as clients:
        replies = list(clients.map(lambda i: gateway.post("echo", b"request %d" % i, **more), range(count)))
    for i, reply in enumerate(replies):
        if reply.status == 200:
            equal(reply.body, b"request %d" % i, f"the answer to request {i}")
    return Counter(reply.code for reply in replies)


def reasons(gateway):
    return {step["why"] for slot in gateway.slots("echo") for step in slot["transitions"] if step["to"] == "failed"}


def all_serve_again(gateway):
    eventually(lambda: all(slot["state"] in SERVING for slot in gateway.slots("echo")), within=15,
               about="every slot serves again")


@test
def three_hundred_requests_are_answered_once_each_while_workers_crash_and_dawdle():
    with rehearse("crash=5% delay=5%:50ms", echo(slots=4, retry={"crashes": 4})) as gateway:
        equal(ask(gateway, 300), Counter(ok=300), "answers")
        # On leaving, the gateway has counted 300 requests, and no process of it is left.
        restarts = gateway.metrics().sum("poolgate_slot_restarts_total", pool="echo")
        check(restarts >= 3, f"workers did crash: {restarts} restarts")
        check(reasons(gateway) <= {"crashed"}, f"for no other reason: {reasons(gateway)}")
        check("chaos: crash" in gateway.log_text(), "the log says what was done on purpose")


@test
def the_same_seed_crashes_the_same_requests():
    """One worker, one client: what happens depends on nothing else."""
    def crashes():
        with rehearse("crash=20%", echo(retry={"crashes": 9})) as gateway:
            replies = [gateway.post("echo", b"%d" % i) for i in range(20)]
            equal({reply.status for reply in replies}, {200}, "statuses")
            return [reply.headers["Poolgate-Attempts"] for reply in replies]

    first, second = crashes(), crashes()
    equal(first, second, "attempts of each request")
    check(set(first) != {"1"}, f"some crashed: {first}")


@test
def workers_that_hang_cost_their_request_its_deadline_at_most():
    health = {"interval": f"{int(patient(300))}ms", "timeout": f"{int(patient(200))}ms", "misses": 2}
    with rehearse("hang=5%", echo(slots=4, health=health, retry={"crashes": 4})) as gateway:
        answers = ask(gateway, 60, timeout_ms=int(patient(3000)))
        check(set(answers) <= {"ok", "deadline_exceeded"}, f"answers: {answers}")
        equal(sum(answers.values()), 60, "answers")
        check(answers["ok"] >= 40, f"most are answered: {answers}")
        all_serve_again(gateway)


@test
def garbage_in_the_socket_costs_a_slot_and_no_answer():
    with rehearse("garbage=5%", echo(slots=2, retry={"crashes": 4})) as gateway:
        answers = ask(gateway, 100)
        check(answers["ok"] >= 95, f"answers: {answers}")
        check("protocol" in reasons(gateway), f"slots failed because they broke the protocol: {reasons(gateway)}")
        all_serve_again(gateway)


@test
def a_slow_load_and_a_balloon_do_no_harm():
    with rehearse("slow-load=100%:300ms balloon=10%:4MiB", echo(slots=2)) as gateway:
        equal(ask(gateway, 30), Counter(ok=30), "answers")
        check(all(slot["cold_ms"] >= 300 for slot in gateway.slots("echo")), "loads took their time")


@test
def a_worker_on_a_thread_may_dawdle():
    with rehearse("delay=50%:40ms", echo(isolation="thread", slots=2)) as gateway:
        equal(ask(gateway, 20), Counter(ok=20), "answers")
        slow = [reply for reply in (gateway.post("echo", b"x") for _ in range(20)) if reply.timing["run"] >= 40]
        check(2 <= len(slow) <= 18, f"about half of twenty took 40 ms and more: {len(slow)}")


main(__doc__)
