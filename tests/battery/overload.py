"""overload - group A: more work than there is room for must cost neither the work that is done nor the gateway."""

import os
import signal
import threading
import time

from control import percentile
from gateway import echo
from h2 import Http2
from ledger import p99_ms, steady
from stage import C, CAPACITY, RUN_MS, SLOTS, stage
from trial import trial

UNAVAILABLE = 14
GIVE_UP_MS = 500
QUEUE_BUDGET_MS = (CAPACITY + SLOTS) / C * 1000  # the longest wait: all who were let in before are served first
REFUSALS = ("queue_full", "deadline_unmeetable")


def overload(factor, seconds, **fields):
    return steady(factor * C, seconds, seed=int(factor * 10), **fields)


@trial("A1", "goodput from half to ten times the capacity")
def goodput_is_a_plateau(run):
    seconds = run.seconds(30, 5)
    for factor in (0.5, 0.8, 1, 1.2, 2, 5, 10):
        with stage(run, calm=factor in (0.5, 10)) as place:
            ledger = place.load(overload(factor, seconds, timeout_ms=GIVE_UP_MS, give_up_ms=GIVE_UP_MS))
            share = ledger.goodput(1, seconds, GIVE_UP_MS / 1000) / (C * min(1, factor))
            run.at_least(f"{factor}x", share * 100, 97 if factor <= 2 else 90, "%")
            run.at_most(f"{factor}x p99", p99_ms([entry for entry in ledger if entry.ok]), QUEUE_BUDGET_MS + 40, "ms")


def exact_over_http(gateway, held, over):
    replies = gateway.at_once([gateway.raw_post("held", b"x", "delay:250") for _ in range(held + over)])
    refused = [reply for reply in replies if reply.status == 503 and reply.code == "queue_full"
               and int(reply.headers["Retry-After"]) >= 1]
    return len(refused) == over and sum(reply.status == 200 for reply in replies) == held


def exact_over_grpc(gateway, held, over):
    with Http2(gateway) as client:
        for _ in range(held + over):
            client.invoke("held", b"x", operation="delay:250")
        answers = client.finish_all().values()
    refused = [answer for answer in answers if (answer.status, answer.code) == (UNAVAILABLE, "queue_full")
               and int(answer.trailers["grpc-retry-pushback-ms"]) >= 1]
    return len(refused) == over and sum(answer.status == 0 for answer in answers) == held


@trial("A2", "Q + k at once: exactly k are refused, with advice when to come back")
def rejection_is_exact(run):
    held, over, rounds = 8 + 2, 7, (4 if run.short else 20)
    pool = echo("held", slots=2, queue={"capacity": 8, "reserve": "0%", "overload": "none"})
    with stage(run, [pool]) as place:
        exact = {"http": 0, "grpc": 0}
        for _ in range(rounds):
            exact["http"] += exact_over_http(place.gateway, held, over)
            exact["grpc"] += exact_over_grpc(place.gateway, held, over)
        place.asked = place.gateway.sent
        for door, count in exact.items():
            run.at_least(f"exact over {door}", count, rounds, f"of {rounds}")


@trial("A3", "refusals at ten times the capacity are cheap")
def refusals_are_cheap(run):
    seconds = run.seconds(10, 5)
    with stage(run, [echo("quick", slots=SLOTS)]) as place:
        place.load(steady(1000, 0.5, pool="quick", name="warm"))
        before = place.cpu_seconds()
        served = place.load(steady(1000, seconds / 2, pool="quick", name="quick"))
        served_us = (place.cpu_seconds() - before) / len(served) * 1e6
        before = place.cpu_seconds()
        place.load(overload(1, seconds / 2, name="full"))
        full_s = (place.cpu_seconds() - before) / (seconds / 2)
        before, resident = place.cpu_seconds(), place.gateway.resident_kib()
        ledger = place.load(overload(10, seconds, timeout_ms=GIVE_UP_MS, give_up_ms=2 * GIVE_UP_MS))
        refused = [entry for entry in ledger if entry.code in REFUSALS]
        refusal_us = (place.cpu_seconds() - before - full_s * seconds) / max(1, len(refused)) * 1e6
        run.at_most("refusal p99", p99_ms(refused), 20, "ms")
        run.at_most("resident growth", (place.gateway.resident_kib() - resident) / 1024, 32, "MiB")
        run.at_most(f"CPU of a refusal ({refusal_us:.0f} µs) to that of a served request ({served_us:.0f} µs)",
                    refusal_us / served_us * 100, 10, "%")


class Prober(threading.Thread):
    """Asks every path in turn, each on a connection of its own."""

    def __init__(self, gateway):
        super().__init__(daemon=True)
        self.gateway, self.over = gateway, threading.Event()
        self.seconds, self.failed, self.dead, self.ready = [], 0, 0, []

    def run(self):
        while not self.over.wait(0.02):
            for path in ("/livez", "/readyz", "/metrics", "/v1/pools"):
                try:
                    reply = self.gateway.get(path, timeout=5)
                except OSError:
                    self.failed += 1
                    continue
                self.seconds.append(reply.seconds)
                self.failed += reply.status not in (200, 503)
                self.dead += path == "/livez" and reply.status != 200
                if path == "/readyz":
                    self.ready.append(reply.status)

    def end(self):
        self.over.set()
        self.join()


@trial("A4", "probes, metrics and state at ten times the capacity")
def probes_are_answered(run):
    seconds = run.seconds(10, 5)
    with stage(run) as place:
        prober = Prober(place.gateway)
        prober.start()
        try:
            place.load(overload(10, seconds, timeout_ms=GIVE_UP_MS, give_up_ms=2 * GIVE_UP_MS))
        finally:
            prober.end()
        flips = sum(a != b for a, b in zip(prober.ready, prober.ready[1:]))
        run.at_most(f"of {len(prober.seconds)} not answered", prober.failed, 0)
        run.at_most("p99", percentile(prober.seconds, 0.99) * 1000, 50, "ms")
        run.at_most("livez not 200", prober.dead, 0)
        run.at_most("readiness flips per 5 s", flips / (seconds / 5), 1)


@trial("A5", "at three times the capacity with clients that leave after 100 ms no dead work is begun")
def no_dead_work(run):
    seconds = run.seconds(10, 5)
    with stage(run) as place:
        before = queue_times(place.gateway)
        ledger = place.load(overload(3, seconds, timeout_ms=100, give_up_ms=100))
        place.settle()
        ends = {entry.id: ledger.began_ns + int(entry.done * 1e9) for entry in ledger}
        began = [start for name, starts in place.starts().items() if name in ends for start in starts]
        dead = sum(start.at_ns > ends[start.id] for start in began)
        run.at_most(f"of {len(began)} starts for those who were gone", dead / max(1, len(began)) * 100, 1, "%")
        recorded = queue_times(place.gateway) - before
        run.at_most(f"queue times recorded ({recorded:.0f}) for requests that never began",
                    max(0, recorded - len(began)), 0)


def queue_times(gateway):
    return gateway.metrics().sum("poolgate_queue_seconds_count", pool="echo")


@trial("A6", "0.8 times the capacity with retries through a stall of 5 s: no lasting overload")
def a_stall_passes(run):
    before_s, stall_s, after_s = 3, run.seconds(5, 3), run.seconds(15, 8)
    with stage(run) as place:
        workers = [slot["pid"] for slot in place.gateway.slots("echo")]
        released = []

        def stall():
            time.sleep(before_s)
            for pid in workers:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(stall_s)
            for pid in workers:
                os.kill(pid, signal.SIGCONT)
            released.append(time.monotonic_ns())

        plan = overload(0.8, before_s + stall_s + after_s, timeout_ms=GIVE_UP_MS, give_up_ms=GIVE_UP_MS, retries=3)
        ledger = place.load(plan, during=stall)
        since = (released[0] - ledger.began_ns) / 1e9
        back = next((after for after in range(after_s - 1)
                     if ledger.goodput(since + after, since + after + 1) >= 0.95 * 0.8 * C), after_s)
        run.at_most("until 95 % of what is offered is served", back + 1, 10, "s")
        extra = sum(max(0, entry.attempts - 1) for entry in ledger) / len(ledger)
        run.at_most("retries made by the gateway", extra * 100, 10, "%")
        restarts = place.gateway.metrics().sum("poolgate_slot_restarts_total", pool="echo")
        run.note(f"{restarts:.0f} workers were told to end by requests whose deadline passed meanwhile")


@trial("A7", "500 requests in 10 ms: the queue and the slots take theirs, and in time")
def a_burst_is_taken(run):
    capacity, burst = 256, 500
    with stage(run, queue={"capacity": capacity, "reserve": "0%"}) as place:
        ledger = place.load(steady(burst / 0.01, 0.01, name="burst"), connections=burst)
        accepted = [entry for entry in ledger if entry.ok]
        run.note(f"the last one was sent after {max(entry.sent for entry in ledger) * 1000:.0f} ms, the first one was "
                 f"answered after {min(entry.done for entry in accepted) * 1000:.0f} ms")
        run.at_most(f"of {capacity + SLOTS} accepted {len(accepted)}, off by", abs(len(accepted) - capacity - SLOTS), 1)
        run.at_most("all done after", max(entry.done for entry in accepted) * 1000,
                    (capacity / SLOTS + 1) * RUN_MS * 1.1, "ms")
