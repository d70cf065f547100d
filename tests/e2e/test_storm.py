#!/usr/bin/env python3
"""storm: 2,000 requests in five priorities from four tenants through four slots that crash and hang"""

import random
import statistics
import threading
import time
from collections import Counter

from gateway import SERVING, Gateway, echo
from support import between, build, check, equal, eventually, main, patient, test

PRIORITIES = ("critical", "high", "normal", "low", "batch")
TENANTS = ("ann", "ben", "cat", "dan")
AGING_S = patient(0.2)
DEADLINE_S = patient(1.5)
SLOTS = 4
HANDED_S = patient(0.8)  # what stands behind a worker that hangs, while none else serves, until that is found out
MIXED, CROWDED, WARM = 2000, 800, 100
LOG_LINES, CHATTERS = 1024, 12  # 100 lines a second of each worker are logged
FEW, MANY = 4, 12  # clients of a modest tenant and of the greedy one
ANSWERS = {"ok", "deadline_exceeded", "worker_crashed", "quarantined"}


class Sent:
    """One request: who sent it when, how it was answered, when workers began it."""

    def __init__(self, number, tenant, priority):
        self.id, self.tenant, self.priority = f"storm-{number}", tenant, priority
        self.at = self.answered = self.reply = None
        self.starts = []

    @property
    def attempts(self):
        return int(self.reply.headers["Poolgate-Attempts"] or 0)

    @property
    def began(self):
        """When it first began; of one that never did, when it was given up. What is done to a worker on purpose
        comes before it logs, so the gateway's word counts for one that never came back."""
        if self.starts:
            return self.starts[0]
        return self.at + self.reply.timing["queue"] / 1000 if self.attempts else self.answered

    def send(self, gateway, pool):
        self.at = time.monotonic()
        headers = {"X-Request-Id": self.id, "Poolgate-Tenant": self.tenant}
        self.reply = gateway.post(pool, self.id.encode(), timeout_ms=int(DEADLINE_S * 1000), priority=self.priority,
                                  headers=headers)
        self.answered = time.monotonic()


class Storm:
    def __init__(self, seed):
        self.chance, self.requests, self.lock = random.Random(seed), [], threading.Lock()

    def blow(self, gateway, count, clients, priorities, pool="echo"):
        """Every client sends its next request when it has the answer to its last, `count` together."""
        last = len(self.requests) + count

        def run(tenant):
            while True:
                with self.lock:
                    if len(self.requests) >= last:
                        return
                    request = Sent(len(self.requests), tenant, self.chance.choice(priorities))
                    self.requests.append(request)
                request.send(gateway, pool)

        threads = [threading.Thread(target=run, args=(tenant,), daemon=True)
                   for tenant, number in clients.items() for _ in range(number)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=patient(240))
            check(not thread.is_alive(), "every client has its answer")
        return self.requests[-count:]


def read_starts(file, requests):
    by_id = {request.id: request for request in requests}
    for line in file.read_text().splitlines():
        name, _, at_ns, _ = line.split()
        if name in by_id:
            by_id[name].starts.append(int(at_ns) / 1e9)


def every_request_is_answered_once(requests):
    for request in requests:
        check(request.reply is not None and request.reply.code in ANSWERS, f"{request.id}: {request.reply!r}")
        equal(request.reply.headers["X-Request-Id"], request.id, "whose answer it is")
        if request.reply.status == 200:
            equal(request.reply.body, request.id.encode(), "the answer")
            between(1, len(request.starts), request.attempts, f"starts of {request.id}")


def ageing_bounds_overtaking(requests):
    """A class is left behind after AGING_S each, so after five of them only those who came before count."""
    overtaken = []
    for tenant in TENANTS:
        own = [request for request in requests if request.tenant == tenant]
        for early in (request for request in own if request.attempts <= 1):  # others began before, and came back
            for late in own:
                younger = late.at > early.at + AGING_S * len(PRIORITIES)
                if younger and late.starts and late.began < early.began - HANDED_S:
                    overtaken.append(f"{early.id} ({early.priority}, {early.reply.code}, waited "
                                     f"{early.began - early.at:.2f} s) by {late.id} ({late.priority}, "
                                     f"{late.at - early.at:.2f} s younger)")
    check(not overtaken, f"{len(overtaken)} overtaken, such as {overtaken[:3]}")


def the_greedy_wait_longer_than_the_modest(requests):
    """Fair turns between tenants: whoever has three times the clients waits about three times as long for each
    answer. In order of arrival all would wait alike."""
    waits = {tenant: statistics.median(request.answered - request.at for request in requests
                                       if request.tenant == tenant and request.reply.status == 200)
             for tenant in TENANTS}
    print(f"median wait of each: {({tenant: round(seconds, 3) for tenant, seconds in waits.items()})}")
    greedy = waits.pop(TENANTS[0])
    check(max(waits.values()) < 0.7 * greedy, f"{TENANTS[0]} has {MANY} clients and waits {greedy:.3f} s, "
                                              f"the others have {FEW} and wait {waits}")


def fill_the_log(gateway):
    """What is kept of the log has a place for 1,024 lines, which take memory when they are used first."""
    gateway.at_once([gateway.raw_post("chatter", b"x", "stderr:8") for _ in range(2 * CHATTERS)])
    eventually(lambda: gateway.log_text().count("flood that was asked for") >= LOG_LINES, about="the log has been full")


def injected(gateway):
    log = gateway.log_text()
    return log.count("chaos: crash"), log.count("chaos: hang")


@test
def two_thousand_requests_through_crashes_and_hangs_are_answered_once_each_in_order_and_leave_nothing():
    seed = int(time.time())
    print(f"seed {seed}")
    storm = Storm(seed)
    health = {"interval": f"{int(patient(200))}ms", "timeout": f"{int(patient(300))}ms", "misses": 2}
    pool = echo(slots=SLOTS, args={"delay_ms": 5}, health=health, retry={"crashes": 4}, timeouts={"kill": "200ms"},
                breaker={"failures": 1_000_000, "open": "1ms"},
                queue={"aging": f"{int(AGING_S * 1000)}ms", "overload": "none"})
    calm_pool = echo("calm", slots=SLOTS, args={"delay_ms": 5})
    gateway = Gateway([pool, calm_pool, echo("chatter", slots=CHATTERS)], chaos={"seed": seed % 1000, "echo": "crash=5% hang=5%"}, log={"level": "info"})
    starts = gateway.folder / "starts"
    gateway.command += ["--allow-chaos", "--set", f"pools.echo.worker.args.log={starts}"]
    with gateway:
        fill_the_log(gateway)
        storm.blow(gateway, WARM, {tenant: 6 for tenant in TENANTS}, PRIORITIES)
        before = gateway.resident_kib()
        mixed = storm.blow(gateway, MIXED, {tenant: 6 for tenant in TENANTS}, PRIORITIES)
        # What hangs costs its tenant more than all else it asks for, so turns are counted where nothing does.
        crowded = storm.blow(gateway, CROWDED, {tenant: FEW for tenant in TENANTS} | {TENANTS[0]: MANY}, ("normal",),
                             "calm")
        eventually(lambda: all(slot["state"] in SERVING for slot in gateway.slots("echo")), within=15,
                   about="every slot serves again")
        read_starts(starts, storm.requests)
        crashes, hangs = injected(gateway)
        print(f"{Counter(request.reply.code for request in storm.requests)}, {crashes} crashes and {hangs} hangs; "
              f"resident {before} KiB, then {gateway.resident_kib()} KiB")
        check(crashes >= 50 and hangs >= 50, f"enough was done to them: {crashes} crashes, {hangs} hangs")
        equal((len(mixed), len(crowded)), (2000, 800), "requests")
        every_request_is_answered_once(storm.requests[:-CROWDED])
        equal({request.reply.status for request in crowded}, {200}, "answers where nothing was done to workers")
        ageing_bounds_overtaking(mixed)
        the_greedy_wait_longer_than_the_modest(crowded)
        if not build.sanitized:  # a sanitizer keeps freed memory back on purpose
            eventually(lambda: abs(gateway.resident_kib() - before) <= 0.05 * before, within=10, every=0.2,
                       about=f"resident memory is within 5 % of {before} KiB")
    # On leaving, the gateway has counted every request once, and no process of it is left.


@test
def nobody_stays_behind_a_worker_that_takes_long_while_others_go_on():
    """What was handed ahead to a busy worker is taken back as soon as another would begin something younger."""
    with Gateway([echo(slots=2, args={"delay_ms": 10})]) as gateway:
        long = gateway.send(gateway.raw_post("echo", b"long", f"delay:{int(patient(2000))}"))
        gateway.until_processing("echo")
        storm = Storm(1)
        storm.blow(gateway, 100, {"ann": 6}, ("normal",))
        slowest = max(request.answered - request.at for request in storm.requests)
        check(slowest < patient(0.5), f"six clients, 10 ms each on the other worker: one waited {slowest:.2f} s")
        long.close()


main(__doc__)
