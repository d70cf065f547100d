#!/usr/bin/env python3
"""grpc workers: the list of misbehaving workers, full queues and the end once more, through the gRPC door"""

import os
import signal

from gateway import Gateway, echo
from support import between, check, equal, eventually, main, patient, test
from grpc_node import DEADLINE, INTERNAL, OK, UNAVAILABLE, Answer, Node, code_count, every_call_is_released, expect


def finish_all(node, numbers):
    return [Answer(node.finish(number)).status for number in numbers]


@test
def two_hundred_mixed_calls_survive_a_killed_worker():
    with Gateway([echo(slots=2)]) as gateway, Node(gateway) as node:
        operations = ["", "delay:5", "chunks:3", "size:5000", "meta"]
        held = node.begin(operation=f"delay:{int(patient(300))}")
        gateway.until_processing("echo")
        victim = next(slot["pid"] for slot in gateway.slots("echo") if slot["state"] == "processing")
        calls = [node.begin(payload=b"%d" % i, operation=operations[i % 5]) for i in range(200)]
        os.kill(victim, signal.SIGKILL)
        answer = Answer(node.finish(held))
        equal((answer.status, answer.reply["timing"]["attempts"]), (OK, 2), "the call whose worker was killed")
        equal(finish_all(node, calls), [OK] * 200, "all others")
        gateway.until_slot("echo", "ready", "idle", within=2.0)
        every_call_is_released(gateway)


@test
def a_worker_that_is_never_ready_is_a_deadline_with_its_own_code():
    pool = echo(slots=(0, 1), args={"load_ms": 60_000}, timeouts={"load": "300ms"})
    with Gateway([pool]) as gateway, Node(gateway) as node:
        expect(node.invoke(), DEADLINE, "spawn_timeout")


@test
def a_hanging_worker_is_stopped_and_its_slot_comes_back():
    with Gateway([echo(timeouts={"kill": "500ms"})]) as gateway, Node(gateway) as node:
        gateway.until_slot("echo", "ready", "idle")
        answer = node.invoke(operation="hang", deadline_ms=int(patient(300)))
        equal(answer.status, DEADLINE, "status")
        eventually(lambda: gateway.slot("echo")["restarts"] == 1, within=10, about="a new worker")
        equal(node.echo(b"next")[0], b"next", "the slot takes the next call")


@test
def garbage_an_exit_and_a_flood_of_stderr_cost_one_slot_at_most():
    with Gateway([echo(retry={"crashes": 0})]) as gateway, Node(gateway) as node:
        expect(node.invoke(operation="garbage"), INTERNAL, "worker_crashed")
        expect(node.invoke(operation="exit:0"), INTERNAL, "worker_crashed")
        equal(node.echo(b"x", operation="stderr:20000")[0], b"x", "answered through the flood")
        check(len(gateway.log_text()) < 2 << 20, "the log is bounded")
        equal(gateway.slot("echo")["restarts"], 2, "restarts")
        equal(code_count(gateway, "worker_crashed"), 2, "counted as worker_crashed")


@test
def of_sixty_at_once_exactly_twelve_are_served():
    with Gateway([echo(slots=2, queue={"capacity": 10})]) as gateway, Node(gateway) as node:
        eventually(lambda: gateway.pool("echo")["slots"]["by_state"]["ready"] +
                   gateway.pool("echo")["slots"]["by_state"]["idle"] == 2, about="two slots are ready")
        for turn in range(5):
            calls = [node.begin(operation=f"delay:{int(patient(400))}") for _ in range(60)]
            answers = [Answer(node.finish(call)) for call in calls]
            refused = [answer for answer in answers if answer.status != OK]
            equal(len(answers) - len(refused), 12, f"served in round {turn}")
            for answer in refused:
                expect(answer, UNAVAILABLE, "queue_full", retry=True)
        every_call_is_released(gateway)


@test
def the_end_answers_a_hundred_that_wait_and_run():
    with Gateway([echo(slots=2)]) as gateway, Node(gateway) as node:
        calls = [node.begin(payload=b"x", operation="delay:10") for _ in range(100)]
        eventually(lambda: gateway.pool("echo")["queue"]["waiting"] + gateway.pool("echo")["totals"]["answered"] >= 98,
                   about="all have come")
        gateway.signal()
        equal(finish_all(node, calls), [OK] * 100, "every accepted call")
        gateway.join()
        between(100, every_call_is_released(gateway), 101, "calls")


main(__doc__)
