"""workers - group D, first part: workers that crash, hang, or never start."""

import os
import signal
import time
from datetime import datetime
from pathlib import Path

from gateway import SERVING
from ledger import steady
from stage import C, sleeping, stage
from support import eventually
from trial import trial


def children_in_state(pid, letter):
    found = 0
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                fields = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            found += fields[0] == letter and int(fields[1]) == pid
    return found


@trial("D1", "workers that die by SIGSEGV in the middle of a request")
def crash(run):
    kills, seconds = 5, 10
    killed, back = [], []
    with stage(run, retry={"crashes": 0}) as place:
        def kill():
            time.sleep(1)
            for _ in range(kills):
                victim = eventually(lambda: next((slot for slot in place.gateway.slots("echo")
                                                  if slot["state"] == "processing"), None), about="one works")
                os.kill(victim["pid"], signal.SIGSEGV)
                killed.append(time.monotonic())
                index = int(victim["id"].rpartition("/")[2])
                eventually(lambda: (slot := place.gateway.slot("echo", index))["pid"] not in (0, None, victim["pid"])
                           and slot["state"] in (*SERVING, "processing"), within=8, about="its slot serves again")
                back.append(time.monotonic() - killed[-1])
                time.sleep(0.4)

        ledger = place.load(steady(0.8 * C, seconds, name="load"), during=kill)
        crashed = [entry for entry in ledger if entry.code == "worker_crashed"]
        late = [min(abs(ledger.began_ns / 1e9 + entry.done - at) for at in killed) * 1000 for entry in crashed]
        run.at_most(f"requests failed beyond one for each of {kills} crashes", max(0, len(crashed) - kills), 0)
        run.at_most("others not ok", sum(not entry.ok for entry in ledger) - len(crashed), 0)
        run.at_most("failed after", max(late, default=0), 200, "ms")
        run.at_most("replaced after", max(back), 1, "s")
        run.at_most("zombies", children_in_state(place.gateway.pid, "Z"), 0)


def stop(slot):
    os.kill(slot["pid"], signal.SIGSTOP)


@trial("D2", "workers that are stopped as a whole, or never return")
def hang(run):
    interval, timeout, misses, deadline, rounds = 200, 100, 2, 500, 3
    health = {"interval": f"{interval}ms", "timeout": f"{timeout}ms", "misses": misses}
    # The ping that a stop begins with may be a whole interval away.
    bound = interval * misses + timeout
    with stage(run, [sleeping("frail", slots=1, health=health, timeouts={"kill": "300ms"})]) as place:
        gateway, found, answered, back, left = place.gateway, [], [], [], 0
        for _ in range(rounds):
            slot = gateway.slot("frail")
            stop(slot)
            began = time.monotonic()
            eventually(lambda: gateway.slot("frail")["state"] not in SERVING, about="it is found", every=0.002)
            found.append((time.monotonic() - began) * 1000)
            eventually(lambda: (now := gateway.slot("frail"))["pid"] not in (0, None, slot["pid"])
                       and now["state"] in SERVING, within=8, about="another serves")
            left += Path("/proc", str(slot["pid"])).exists()  # TERM does not end a stopped process
            gateway.post("frail", b"resets the pause before the next start")
        for _ in range(rounds):
            slot = gateway.slot("frail")
            reply = gateway.post("frail", b"x", "hang", timeout_ms=deadline)
            answered.append(reply.seconds * 1000 if reply.code == "deadline_exceeded" else 1e6)
            began = time.monotonic()
            eventually(lambda: (now := gateway.slot("frail"))["pid"] not in (0, None, slot["pid"])
                       and now["state"] in SERVING, within=8, about="another serves")
            back.append(time.monotonic() - began)
            gateway.post("frail", b"resets the pause before the next start")
        place.asked = gateway.sent
        run.at_most("a stopped one found after", max(found), bound * 1.1, "ms")
        run.at_most("stopped ones left alive (only SIGKILL ends them)", left, 0)
        run.at_most("a hanging one's request answered after", max(answered), deadline * 1.1, "ms")
        run.note(f"its slot was back after {max(back):.2f} s")


@trial("D3", "a worker that crashes at its start, for ever")
def crash_at_start(run):
    seconds = run.seconds(12, 12)
    pool = {"name": "doomed", "worker": {"command": ["sh", "-c", "exit 3"]}, "slots": {"min": 1, "max": 1},
            "required": False}
    with stage(run, [pool], sections={"wait": "listening"}) as place:
        before, began = place.cpu_seconds(), time.monotonic()
        time.sleep(seconds)
        share = (place.cpu_seconds() - before) / (time.monotonic() - began)
        slot = place.gateway.slot("doomed")
        starts = [datetime.fromisoformat(step["at"].replace("Z", "+00:00")).timestamp()
                  for step in slot["transitions"] if step["to"] == "spawning"]
        gaps = [late - early for early, late in zip(starts[5:], starts[6:])]
        run.at_least("starts seen", len(starts), 5)
        run.at_least("shortest gap between starts after the fifth", min(gaps, default=30), 1, "s")
        run.at_most("CPU of the gateway", share * 100, 5, "%")
        run.at_most("healthy, says the pool", int(place.gateway.pool("doomed")["health"] == "healthy"), 0)
