#!/usr/bin/env python3
"""nothing blocks: under load no loop and no front-end thread waits for anything but its next event"""

import http.client
import os
import resource
import threading
import time
from collections import Counter
from pathlib import Path

from gateway import Gateway, echo
from h2 import Http2
from strace import Trace
from support import TooSlow, build, check, main, patient, skip, test

FRONT_ENDS = ("http", "grpc", "grpc-door")
LAG_S, LAG_SHARE = 0.005, 0.999
OTHERS_SHARE = 0.1  # of all processors: above it a turn's length tells of them, not of the loop
TICKS = os.sysconf("SC_CLK_TCK")
LOAD_S = 2.0
LARGE = 300_000


class Load:
    """Both doors at once, for some seconds: small and large bodies, state and metrics, clients that leave."""

    def __init__(self, gateway, seconds, clients, calls, leave=True):
        self.gateway, self.until, self.calls, self.leave = gateway, time.monotonic() + seconds, calls, leave
        self.answers, self.wrong = Counter(), []
        self.threads = [threading.Thread(target=self.guard, args=(self.over_http, i), daemon=True)
                        for i in range(clients)]
        self.threads.append(threading.Thread(target=self.guard, args=(self.over_grpc, 0), daemon=True))

    def run(self):
        for thread in self.threads:
            thread.start()
        for thread in self.threads:
            thread.join(timeout=patient(60))
        check(not self.wrong, f"every answer is right: {self.wrong[:3]}")
        return self.answers

    def guard(self, function, number):
        try:
            function(number)
        except Exception as error:  # noqa: B902 - told by run()
            self.wrong.append(repr(error))

    def over_http(self, number):
        client = http.client.HTTPConnection(self.gateway.host, self.gateway.port, timeout=patient(20))
        turn = 0
        while time.monotonic() < self.until:
            turn += 1
            body = b"%d %d " % (number, turn) * (LARGE // 8 if turn % 50 == 0 else 1)
            client.request("POST", "/v1/pools/echo/invoke", body)
            reply = client.getresponse()
            check(reply.status == 200 and reply.read() == body, f"answer {turn} over HTTP")
            self.answers["http"] += 1
            if turn % 40 == 0:
                client.request("GET", ("/metrics", "/v1/pools", "/readyz", "/v1/pools/echo/slots")[turn // 40 % 4])
                check(client.getresponse().read(), "a state")
            if self.leave and turn % 60 == 0:
                self.gateway.send(self.gateway.raw_post("echo", b"x", "delay:50")).close()
        client.close()

    def over_grpc(self, _):
        turn = 0
        with Http2(self.gateway) as client:
            while time.monotonic() < self.until:
                while len(client.under_way) < self.calls:
                    turn += 1
                    stream = client.invoke("echo", b"call %d" % turn)
                    if self.leave and turn % 60 == 0:
                        client.cancel(stream)
                client.pump(0.1)
                self.answers["grpc"] += len(client.answers)
                check(all(answer.status == 0 for answer in client.answers.values()), f"answers: {client.answers}")
                client.answers.clear()
            client.finish_all()


def watched(gateway, trace):
    """thread → its role: the pool loop and everything of the two front ends."""
    roles = {int(task): Path(f"/proc/{gateway.pid}/task/{task}/comm").read_text().strip()
             for task in os.listdir(f"/proc/{gateway.pid}/task")}
    roles = {task: role for task, role in roles.items() if role in FRONT_ENDS}
    check(set(roles.values()) == set(FRONT_ENDS), f"all front-end threads are there: {roles}")
    return {**roles, trace.pool_loop(): "pool loop"}


def nothing_waits(warm):
    if build.sanitized:
        skip("a sanitizer makes system calls of its own")
    with Gateway([echo(slots=4)], conserve=False) as gateway:
        if warm:
            Load(gateway, 0.5, clients=4, calls=8).run()
        with Trace(gateway) as trace:
            answers = Load(gateway, LOAD_S, clients=4, calls=8).run()
        check(min(answers["http"], answers["grpc"]) >= 100, f"both doors were used: {answers}")
        roles = watched(gateway, trace)
        seen = Counter(roles[call.thread] for call in trace.calls if call.thread in roles)
        check(all(seen[role] >= 10 for role in ("http", "grpc", "pool loop")), f"calls seen: {seen}")
        faults = trace.waits(roles)
        kinds = Counter(fault.split("(")[0] for fault in faults)
        print(f"{dict(answers)} answers, {sum(seen.values())} system calls of {len(roles)} threads, "
              f"{len(faults)} might wait")
        check(not faults, f"{dict(kinds)}, such as\n  " + "\n  ".join(faults[:12]))


@test
def no_thread_on_the_way_of_a_request_waits_for_anything_but_its_next_event():
    nothing_waits(warm=True)


@test
def not_even_at_the_first_requests():
    nothing_waits(warm=False)


@test
def a_wait_on_the_way_would_be_seen():
    """The watchdog's thread reads /proc, which is what this test must find if it is told to look there."""
    if build.sanitized:
        skip("a sanitizer makes system calls of its own")
    with Gateway([echo()], conserve=False) as gateway, Trace(gateway) as trace:
        Load(gateway, 1.0, clients=2, calls=2).run()
    other = {task: "watchdog" for task, name in trace.names.items() if name == "watchdog"}
    check(other and trace.waits(other), "opening a file and waiting for a condition are found")


def lag(gateway):
    numbers = gateway.metrics()
    within = sum(value for labels, value in numbers.matching("poolgate_loop_lag_seconds_bucket", loop="pool")
                 if labels["le"] == f"{LAG_S:g}")
    return within, numbers.sum("poolgate_loop_lag_seconds_count", loop="pool")


def processor_seconds(gateway):
    """What all processors did so far, time stolen by the machine below included; and what of it was ours."""
    fields = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    used = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    for pid in (gateway.pid, *gateway.marked_processes()):
        used += sum(int(field) for field in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]) / TICKS
    return (sum(fields[:3]) + sum(fields[5:8])) / TICKS, used


def share_of_others(early, late, seconds):
    return max(0.0, (late[0] - early[0] - (late[1] - early[1])) / seconds / os.cpu_count())


@test
def under_full_load_the_pool_loop_lags_less_than_5_ms_at_p99_9():
    if build.sanitized:
        skip("a sanitizer slows every turn down")
    with Gateway([echo(slots=4)], conserve=False) as gateway:
        Load(gateway, 0.5, clients=8, calls=100, leave=False).run()
        before, used, began = lag(gateway), processor_seconds(gateway), time.monotonic()
        answers = Load(gateway, 4.0, clients=16, calls=500).run()
        others = share_of_others(used, processor_seconds(gateway), time.monotonic() - began)
        within, turns = (late - early for late, early in zip(lag(gateway), before))
        print(f"{dict(answers)} answers, {turns:.0f} turns of the loop, {turns - within:.0f} of them above 5 ms")
        check(turns >= 1000, "the loop has turned often")
        if within < turns * LAG_SHARE and others > OTHERS_SHARE:
            skip(f"others have {others:.0%} of the processors, and it is they whom the loop waits for")
        if within < turns * LAG_SHARE:
            raise TooSlow(f"{(turns - within) / turns:.3%} of {turns:.0f} turns of the pool loop took above 5 ms")


main(__doc__)
