"""deadlines - group C: late work is stopped, unwanted work is not begun, nonsense is refused."""

import random
import socket
import threading
import time

from gateway import SERVING, echo, receive, reset
from h2 import INVOKE, Http2, invoke_request
from stage import stage
from support import eventually
from trial import trial

INVALID_ARGUMENT, DEADLINE_EXCEEDED, INTERNAL, UNAVAILABLE = 3, 4, 13, 14
TOLERANCE_MS = 20


def one_slot(run, **more):
    """A pool `one` with a ledger of its own."""
    file = run.folder / f"one-{run.id}-{time.monotonic_ns()}"
    return echo("one", args={"log": file}, queue={"overload": "none"}, **more), file


def starts_in(file):
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


@trial("C1", "a deadline that passes in the queue is answered then, and nothing was begun")
def expires_in_the_queue(run):
    pool, file = one_slot(run)
    with stage(run, [pool]) as place:
        gateway, off, wrong = place.gateway, [], 0
        holder = gateway.send(gateway.raw_post("one", b"x", "delay:2500"))
        gateway.until_processing("one")
        deadlines = [100 + 50 * i for i in range(20)]
        replies, threads = {}, []
        with Http2(gateway) as client:
            streams = {client.invoke("one", b"y", timeout=f"{ms}m"): ms for ms in deadlines}
            for ms in deadlines:
                threads.append(threading.Thread(
                    target=lambda ms=ms: replies.update({ms: gateway.post("one", b"y", timeout_ms=ms)})))
                threads[-1].start()
            answers = client.finish_all()
        for thread in threads:
            thread.join()
        for ms, reply in replies.items():
            off.append(abs(reply.seconds * 1000 - ms))
            wrong += (reply.status, reply.code) != (504, "deadline_exceeded")
        for stream, answer in answers.items():
            off.append(abs(answer.seconds * 1000 - streams[stream]))
            wrong += answer.status != DEADLINE_EXCEEDED
        receive(holder)
        place.asked = gateway.sent
        run.at_most(f"of {2 * len(deadlines)} answers, wrong", wrong, 0)
        run.at_most("off its deadline", max(off), TOLERANCE_MS, "ms")
        run.at_most("begun", len(starts_in(file)) - 1, 0)


@trial("C2", "a deadline that passes while it runs: the worker knew, the slot comes back")
def expires_while_running(run):
    kill_ms, term_ms = 300, 1000
    pool, file = one_slot(run, timeouts={"kill": f"{kill_ms}ms"})
    with stage(run, [pool]) as place:
        gateway, asked, back, off = place.gateway, 400, [], []
        for operation, grace in (("delay:60000", 0), ("stubborn:60000", term_ms), ("hang", term_ms)):
            old = gateway.slot("one")["pid"]
            reply = gateway.post("one", b"x", operation, timeout_ms=asked)
            ended = time.monotonic()
            off.append(abs(reply.seconds * 1000 - asked))
            eventually(lambda: (slot := gateway.slot("one"))["state"] in SERVING
                       and (grace == 0) == (slot["pid"] == old), within=8, about="the slot serves again")
            back.append((operation.split(":")[0], (time.monotonic() - ended) * 1000, grace + 100))
        left = [int(words[3]) / 1e6 for words in starts_in(file)]
        place.asked = gateway.sent
        for name, took, grace in back:
            run.at_most(f"slot back after {name}", took, grace, "ms")
        run.at_most("the answer off its deadline", max(off), TOLERANCE_MS, "ms")
        run.at_most("remaining time that the worker saw, off by", max(abs(ms - asked) for ms in left), 5, "ms")


HTTP_NONSENSE = ("0", "-1", "9223372036854775808", "18446744073709551616", "1n", "", "1e3", "0x10", "1.5", "abc", "+1",
                 "1 2", "99999999999999999999999999")
GRPC_NONSENSE = ("0n", "-1S", "9223372036854775808S", "999999999H", "1", "n", "", "1x", "abc", "1.5S", " 1S")


@trial("C3", "deadlines of zero, below it, beyond 2^63, and words that are none")
def nonsense_is_refused(run):
    pool, file = one_slot(run)
    with stage(run, [pool]) as place:
        gateway, odd = place.gateway, []
        for text in HTTP_NONSENSE:
            reply = gateway.post("one", b"x", "delay:300", headers={"Poolgate-Timeout-Ms": text})
            if (reply.status, reply.code) not in ((400, "invalid_request"), (504, "deadline_exceeded"),
                                                  (504, "deadline_unmeetable")):
                odd.append(f"http {text!r}: {reply.status} {reply.code}")
        for text in GRPC_NONSENSE:
            with Http2(gateway) as client:
                began = time.monotonic()
                gateway.sent += 1
                try:
                    message = invoke_request("one", b"x", operation="delay:300")
                    answer = client.finish(client.begin(INVOKE, message, text))
                    if answer.status not in (INVALID_ARGUMENT, DEADLINE_EXCEEDED, INTERNAL, None):
                        odd.append(f"grpc {text!r}: {answer.status}")
                except (AssertionError, OSError) as error:
                    odd.append(f"grpc {text!r}: {str(error)[:60]} after {time.monotonic() - began:.1f} s")
        run.at_most(f"of {len(HTTP_NONSENSE) + len(GRPC_NONSENSE)} taken for a deadline", len(odd), 0)
        run.at_most("begun with such a deadline", len(starts_in(file)), 0)
        run.note("; ".join(odd) or "all refused")
        eventually(lambda: gateway.json("/v1/pools/one")["queue"]["waiting"] == 0, about="nothing waits")
        place.asked = gateway.counted() - sum(entry.tries for ledger in place.ledgers for entry in ledger)


def fin(connection):
    connection.close()


def half_close(connection):
    connection.shutdown(socket.SHUT_WR)


@trial("C4", "clients that leave by FIN, RST and half-close, waiting and running")
def clients_leave(run):
    pool, file = one_slot(run)
    rounds, waits, runs = 5, [], []
    with stage(run, [pool]) as place:
        gateway = place.gateway
        for leave in (fin, reset, half_close) * rounds:
            running = gateway.send(gateway.raw_post("one", b"x", "delay:20000"))
            gateway.until_processing("one")
            queued = gateway.send(gateway.raw_post("one", b"y"))
            gateway.until_waiting("one", 1)
            for connection, took, gone in (
                    (queued, waits, lambda: gateway.pool("one")["queue"]["waiting"] == 0),
                    (running, runs, lambda: gateway.slot("one")["state"] != "processing")):
                began = time.monotonic()
                leave(connection)
                eventually(gone, about="it is noticed", every=0.001)
                took.append((time.monotonic() - began) * 1000)
                connection.close()
        place.asked = gateway.sent
        run.at_most("queue entry gone", max(waits), 100, "ms")
        run.at_most("running one cancelled", max(runs), 100, "ms")
        run.at_most("of those who left the queue, begun", len(starts_in(file)) - 3 * rounds, 0)
        run.note("half-close counts as gone (http.half_close)")


@trial("C5", "1,000 calls over gRPC, cancelled at random moments")
def random_cancels(run):
    chance, count = random.Random(5), 1000
    with stage(run, queue={"capacity": 2000, "overload": "none"}) as place:
        gateway = place.gateway
        answered = cancelled = early = 0
        with Http2(gateway) as client:
            due = []
            for number in range(count):
                stream = client.invoke("echo", b"c%d" % number)
                delay = chance.random() * 0.12
                due.append((time.monotonic() + delay, stream))
                early += delay < 0.01
                client.pump(0.004)
                for late in [entry for entry in due if entry[0] <= time.monotonic()]:
                    due.remove(late)
                    cancelled += client.cancel(late[1])
            for _, stream in due:
                cancelled += client.cancel(stream)
            answered = len(client.finish_all())
            place.settle()
        by_code = {labels["code"]: int(value) for labels, value in
                   gateway.metrics().matching("poolgate_requests_total", pool="echo", frontend="grpc")}
        run.at_most(f"of {count} calls ({answered} answered, {cancelled} cancelled) without one final status",
                    abs(count - answered - cancelled), 0)
        # A cancel that crosses its answer is counted as either; a call whose cancel overtakes it was never there.
        counted = place.asked = sum(by_code.values())
        run.at_most(f"final statuses counted {by_code}, beyond one each", max(0, counted - count), 0)
        run.at_most("not counted", max(0, count - counted), early)
        run.at_most("calls still held", sum(pool["queue"]["waiting"] for pool in gateway.json("/v1/pools")["pools"]), 0)
    line = place.closing["grpc closed"][0]
    run.at_most("calls made and not released", int(line["calls"]) - int(line["released"]), 0)
