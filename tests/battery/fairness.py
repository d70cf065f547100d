"""fairness - group B: whoever asks for more than their share pays for it themselves."""

import threading
import time
from collections import Counter

from gateway import echo
from h2 import Http2
from ledger import p99_ms, steady
from stage import C, RUN_MS, stage
from trial import trial

CLASSES = 5
TURN_S = 3 * RUN_MS / 1000  # what was handed to a worker already is not overtaken


def jain(shares):
    return sum(shares) ** 2 / (len(shares) * sum(share * share for share in shares))


@trial("B1", "two tenants, ten to one, at twice the capacity")
def tenants_share(run):
    seconds = run.seconds(60, 8)
    run.note("weights of 3:1 were not tried: the contract has no key for them")
    with stage(run) as place:
        greedy, modest = 2 * C * 10 / 11, 2 * C / 11
        ledger = place.load(steady(greedy, seconds, tenant="greedy", name="greedy", give_up_ms=2000)
                            + steady(modest, seconds, tenant="modest", name="modest", give_up_ms=2000))
        got = {name: sum(entry.ok and 1 <= entry.done < seconds for entry in ledger.named(name)) / (seconds - 1)
               for name in ("greedy", "modest")}
        fair = {"modest": min(modest, C / 2)}
        fair["greedy"] = min(greedy, C - fair["modest"])  # max-min fair: what one does not want is the other's
        run.at_least(f"Jain's index of {got['greedy']:.0f}/s of {fair['greedy']:.0f}/s and {got['modest']:.1f}/s of "
                     f"{fair['modest']:.1f}/s", jain([got[name] / fair[name] for name in fair]), 0.95)
        run.at_least("the modest one's share", got["modest"] / fair["modest"] * 100, 95, "%")


@trial("B2", "low requests under a steady overload of high ones: ageing bounds their wait")
def ageing_bounds_the_wait(run):
    """Nothing that comes more than aging × classes later may overtake, so nobody waits longer than that beyond what
    was there before them."""
    seconds, aging_s = run.seconds(15, 8), 0.5
    with stage(run, queue={"aging": "500ms", "capacity": 4000, "fair": False, "overload": "none"}) as place:
        ledger = place.load(steady(1.5 * C, seconds, priority="high", name="high")
                            + steady(5, seconds, priority="low", name="low"))
        low, high = ledger.named("low"), ledger.named("high")
        later = [sum(other.at > entry.at + aging_s * CLASSES and other.done < entry.done - TURN_S for other in high)
                 for entry in low]
        run.at_most("failed", sum(not entry.ok for entry in ledger), 0)
        run.at_most("overtaken by those who came too late", max(later), 0)
        run.at_most("the longest wait of a low one", max(entry.seconds for entry in low),
                    aging_s * CLASSES + max(entry.seconds for entry in high), "s")


class Hog(threading.Thread):
    """One HTTP/2 connection with 100 calls under way at any time, one of a hundred 2 s long."""

    def __init__(self, place, slow):
        super().__init__(daemon=True)
        self.place, self.slow, self.over, self.answered, self.error = place, slow, threading.Event(), 0, None

    def run(self):
        sent = 0
        try:
            with Http2(self.place.gateway) as client:
                while not self.over.is_set():
                    while len(client.under_way) < 100:
                        sent += 1
                        long = self.slow and sent % 100 == 0
                        client.invoke("echo", b"x", operation="delay:2000" if long else None, tenant="hog")
                    client.pump(0.05)
                    self.answered += len(client.answers)
                    client.answers.clear()
                client.finish_all()
        except Exception as error:  # noqa: B902 - the test says so
            self.error = error

    def end(self):
        self.over.set()
        self.join()
        if self.error is not None:
            raise self.error


def singles(place, seconds):
    """Ten clients, ten requests a second each."""
    plan = [planned for number in range(10)
            for planned in steady(10, seconds, seed=number, tenant=f"client{number}", name="single")]
    return place.load(plan)


@trial("B3", "one connection with 100 calls beside ten clients")
def a_hog_delays_nobody(run):
    seconds = run.seconds(10, 4)
    with stage(run, queue={"capacity": 1000}) as place:
        alone = p99_ms(singles(place, seconds))
        for slow in (False, True):
            hog = Hog(place, slow)
            hog.start()
            time.sleep(0.5)
            beside = singles(place, seconds)
            hog.end()
            name = "with 1 % of 2 s" if slow else "beside it"
            run.at_most(f"{name} the others' p99 (alone {alone:.0f} ms)", p99_ms(beside), 2 * alone, "ms")
            run.at_most(f"{name} failed", sum(not entry.ok for entry in beside), 0)
            run.note(f"{name}: {dict(Counter(entry.code for entry in beside))}, the hog got {hog.answered} answers")
        place.asked = place.gateway.sent


@trial("B4", "a pool whose workers crash at every request beside one that serves")
def a_crash_loop_stays_at_home(run):
    seconds = run.seconds(10, 4)
    loop = echo("loop", slots=2, args={"crash_rate": 1}, retry={"crashes": 0}, required=False)
    with stage(run, [loop]) as place:
        plan = steady(C / 2, seconds, name="serves")
        alone = p99_ms(place.load(plan))
        beside = place.load(plan + steady(20, seconds, pool="loop", name="loop", timeout_ms=1000))
        place.calm_from = time.monotonic()
        serves, crashes = beside.named("serves"), place.gateway.pool("loop")["totals"]
        run.at_most("failed", sum(not entry.ok for entry in serves), 0)
        run.at_most(f"p99 (alone {alone:.1f} ms)", p99_ms(serves), alone * 1.1, "ms")
        run.note(f"the other pool: {crashes}")
