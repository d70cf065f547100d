"""hostile - group D, second part: slow loads, workers that break their protocol, starts that fail."""

import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

from gateway import SERVING, Gateway, echo
from ledger import p99_ms, steady
from stage import C, sleeping, stage
from support import eventually, patient
from trial import trial

MIB = 1 << 20
NO_BREAKER = {"failures": 1000000, "open": "1ms"}


def rogue(run, how, number=0, name="rogue", slots=1, **more):
    return {"name": name, "worker": {"command": [run.rogue, how, str(number)]}, "slots": {"min": slots, "max": slots},
            "retry": {"crashes": 0}, "breaker": NO_BREAKER, "required": False, **more}


def peak_kib(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1])
    return 0


def forget_peak(pid):
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def loop_stalls(gateway, bound_s=0.01):
    """Turns of the pool loop that took longer."""
    numbers = gateway.metrics()
    within = sum(value for labels, value in numbers.matching("poolgate_loop_lag_seconds_bucket", loop="pool")
                 if labels["le"] == f"{bound_s:g}")
    return numbers.sum("poolgate_loop_lag_seconds_count", loop="pool") - within


@trial("D4", "a slow load, a failing load, SIGTERM in the middle of a load")
def loads(run):
    seconds, load_s, drain_s = run.seconds(8, 4), 30, 5
    pools = [echo("slow", slots=(0, 1), args={"load_ms": load_s * 1000}, timeouts={"load": "60s"}, required=False),
             echo("broken", slots=(0, 1), args={"load_fail": 1}, required=False)]
    with stage(run, pools, sections={"drain": {"timeout": f"{drain_s}s"}}, calm=False) as place:
        gateway, plan = place.gateway, steady(C / 2, seconds, name="serves")
        alone = p99_ms(place.load(plan))
        beside = {}
        for pool in ("slow", "broken"):
            others = steady(5, seconds, pool=pool, name=pool, give_up_ms=1000)
            beside[pool] = place.load(plan + others)
        for pool, ledger in beside.items():
            serves = ledger.named("serves")
            run.at_most(f"p99 beside the {pool} one (alone {alone:.1f} ms)", p99_ms(serves), alone * 1.1, "ms")
            run.at_most("failed", sum(not entry.ok for entry in serves), 0)
        waiting = threading.Thread(target=lambda: ask_to_load(gateway), daemon=True)
        waiting.start()
        eventually(lambda: gateway.slot("slow")["state"] == "loading", about="the slow one loads")
        began = time.monotonic()
        gateway.signal(signal.SIGTERM)
        gateway.join(within=drain_s * 3)
        run.at_most("ended after", time.monotonic() - began, drain_s + 1, "s")
        gateway.expect_exit = None
        waiting.join(timeout=5)
    run.note("an old version beside a new one (SIGHUP) is not tried here")


def ask_to_load(gateway):
    try:
        gateway.post("slow", b"x", timeout_ms=60000)
    except OSError:
        pass  # the gateway ends


@trial("D5", "workers that break their protocol, again and again")
def broken_protocol(run):
    wanted, slots = (500 if run.short else 10_000), 32
    with stage(run, [rogue(run, "any", slots=slots)]) as place:
        gateway, sessions, foreign, serves, lost, codes = place.gateway, 0, 0, [], 0, Counter()
        end = time.monotonic() + (15 if run.short else 110)
        while sessions < wanted and time.monotonic() < end:
            ledger = place.load(steady(600, 5, seed=sessions, pool="rogue", name="rogue", timeout_ms=3000)
                                + steady(C / 4, 5, seed=sessions, name="serves"))
            foreign += ledger.counts()["foreign"]
            codes += ledger.counts()
            lost += sum(entry.code not in ("ok", "worker_crashed", "queue_full", "deadline_exceeded", "no_workers",
                                           "spawn_failed", "deadline_unmeetable") for entry in ledger)
            serves += ledger.named("serves")
            sessions = int(gateway.metrics().sum("poolgate_slot_restarts_total", pool="rogue"))
        run.at_least("sessions", sessions, wanted)
        run.at_most("answers that belong to another request", foreign, 0)
        run.at_most(f"of {len(serves)} requests of the other pool not ok", sum(not entry.ok for entry in serves), 0)
        run.at_most("answers without a reason", lost, 0)
        run.note(str(dict(codes)))


@trial("D6", "half a frame, then silence; a byte every 100 ms")
def unfinished_frames(run):
    interval, timeout, misses = 200, 100, 2
    health = {"interval": f"{interval}ms", "timeout": f"{timeout}ms", "misses": misses}
    bound = interval * misses + timeout
    pools = [rogue(run, how, name=how, health=health) for how in ("partial", "slow")]
    with stage(run, pools) as place:
        gateway, took = place.gateway, {}
        for how in ("partial", "slow"):
            gateway.post(how, b"first")
            before = loop_stalls(gateway)
            reply = gateway.post(how, b"second", timeout_ms=10_000)
            took[how] = reply.seconds * 1000 if reply.code == "worker_crashed" else 1e6
        place.asked = gateway.sent
        for how, ms in took.items():
            run.at_most(f"{how} found after", ms, bound * 1.1, "ms")
        run.at_most("turns of the loop above 10 ms", loop_stalls(gateway) - before, 0)
        run.note("found by pings: there is no deadline for a frame alone")


@trial("D7", "lengths of 0xFFFFFFFF, of the limit and one, a reply of 1 GiB")
def lengths(run):
    limit = 8 * MIB
    pools = [rogue(run, how, number, name=how)
             for how, number in (("length", 0), ("above", limit), ("stream", 1 << 30))]
    with stage(run, pools, sections={"http": {"max_body": "8MiB"}}) as place:
        gateway, grown, slowest = place.gateway, 0, 0
        for how in ("length", "above", "stream"):
            gateway.post(how, b"first")
            forget_peak(gateway.pid)
            before = gateway.resident_kib()
            reply = gateway.post(how, b"second", timeout_ms=10_000)
            slowest = max(slowest, reply.seconds if reply.code == "worker_crashed" else 1e6)
            grown = max(grown, peak_kib(gateway.pid) - before)
        place.asked = gateway.sent
        run.at_most("refused after", slowest, 0.2, "s")
        run.at_most("memory beyond before, at its peak", grown / 1024, 1, "MiB")


@trial("D8", "a worker that leaks 1 MiB a request")
def leaks(run):
    seconds = run.seconds(15, 10)
    pool = rogue(run, "leak", MIB, name="leaky", slots=2, recycle={"memory": "32MiB"})
    with stage(run, [pool]) as place:
        largest = [0]

        def look():
            end = time.monotonic() + seconds - 0.5
            while time.monotonic() < end:
                for slot in place.gateway.slots("leaky"):
                    largest[0] = max(largest[0], slot["resident_bytes"])
                time.sleep(0.2)

        ledger = place.load(steady(40, seconds, pool="leaky", name="leaky"), during=look)
        restarts = place.gateway.metrics().sum("poolgate_slot_transitions_total", pool="leaky", to="spawning") - 2
        run.at_most("failed", sum(not entry.ok for entry in ledger), 0)
        run.at_least(f"recycled while {40 * seconds} MiB leaked", restarts, 40 * seconds // 32 // 4)
        run.note(f"largest worker seen: {largest[0] / MIB:.0f} MiB")


@trial("D11", "starts of a worker that fail; writing to workers and clients that are dead")
def failing_starts(run):
    fails, rounds = 6, 10
    library = str(Path(run.rogue).with_name("spawn_fails.so"))
    with stage(run, [echo("large")], calm=False,
               sections={"environment": {"LD_PRELOAD": library, "SPAWN_FAILS": str(fails)}}) as place:
        gateway, odd = place.gateway, 0
        failed = gateway.metrics().sum("poolgate_slot_transitions_total", **{"from": "spawning", "to": "failed"})
        body = b"x" * (8 * MIB)
        for number in range(rounds):
            victim = gateway.slot("large")["pid"]
            threading.Timer(0.002 * number, kill_if_there, (victim,)).start()
            odd += gateway.post("large", body, timeout_ms=10_000).code not in ("ok", "worker_crashed", "quarantined")
            connection = gateway.send(gateway.raw_post("large", b"x", f"size:{32 * MIB}"))
            connection.recv(1000)
            connection.close()
            eventually(lambda: gateway.slot("large")["state"] in SERVING, within=10, about="it serves again")
        ok = place.half_load()
        run.at_least("starts that failed", failed, fails)
        run.at_most("answers against the rules", odd, 0)
        run.at_most("of the requests after it, not ok", sum(not entry.ok for entry in ok), 0)
        run.at_most("gateway dead", int(gateway.process.poll() is not None), 0)


def kill_if_there(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, TypeError):
        pass


@trial("D12", "a plug-in on a thread that ends the process: as documented, the gateway's end, and its start again")
def plugin_exits(run):
    pool = echo("inside", isolation="thread")
    deaths, back = 0, []
    for operation in ("exit:3", "crash"):
        with Gateway([pool, sleeping()], conserve=False, expect_exit=None) as gateway:
            try:
                gateway.post("inside", b"x", operation)
            except OSError:
                pass
            gateway.join(within=5)
            deaths += 1
            eventually(lambda: not gateway.marked_processes(), within=patient(2), about="its workers end with it")
            gateway.log_file.unlink()  # the next one's first line is what start() waits for
            began = time.monotonic()
            gateway.start()
            back.append(time.monotonic() - began)
            gateway.stop()
    run.at_least("ends", deaths, 2)
    run.at_most("serving again after", max(back), 2, "s")
