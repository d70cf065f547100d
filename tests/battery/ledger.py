"""ledger - plans for olg, what it brings back, and the workers' own log beside it."""

import random
from collections import Counter, defaultdict

from control import percentile

GAVE_UP, BROKEN, FOREIGN = 0, -1, -2


class Planned:
    """One request of a plan; what olg.c says about its words holds here."""

    def __init__(self, at_us, pool="echo", tenant=None, priority=None, operation=None, timeout_ms=None,
                 give_up_ms=0, retries=0, name="r"):
        self.at_us, self.name = at_us, name
        self.words = (pool, tenant, priority, operation, timeout_ms, give_up_ms, retries)


def steady(rate, seconds, seed=1, start=0.0, **fields):
    """`rate` requests a second, one at a random moment of each of its intervals: the count is exact."""
    chance, step = random.Random(f"{seed} {fields.get('name')}"), 1e6 / rate
    return [Planned(int(start * 1e6 + (i + chance.random()) * step), **fields) for i in range(round(rate * seconds))]


class Entry:
    """A request as its client saw it. Times in seconds from the beginning of the load."""

    def __init__(self, line):
        self.id, at, sent, done, status, self.code, attempts, tries = line.split()
        self.at, self.sent, self.done = int(at) / 1e6, int(sent) / 1e6, int(done) / 1e6
        self.status, self.attempts, self.tries = int(status), int(attempts), int(tries)
        self.seconds = self.done - self.at
        self.name = self.id.rstrip("0123456789").rstrip("-")

    @property
    def ok(self):
        return self.status == 200


class Start:
    """A request as its worker saw it begin."""

    def __init__(self, line):
        self.id, slot, at_ns, left_ns = line.split()
        self.slot, self.at_ns, self.left_ns = int(slot), int(at_ns), int(left_ns)


class Ledger:
    def __init__(self, text):
        lines = text.splitlines()
        self.began_ns = int(lines[0])
        self.entries = [Entry(line) for line in lines[1:]]

    def __iter__(self):
        return iter(self.entries)

    def __len__(self):
        return len(self.entries)

    def named(self, *names):
        return [entry for entry in self.entries if entry.name in names]

    def counts(self):
        return Counter(entry.code if entry.status != FOREIGN else "foreign" for entry in self.entries)

    def goodput(self, since, until, within=None):
        """Good answers a second that came in this part of the load, within so many seconds each."""
        good = [entry for entry in self.entries if entry.ok and since <= entry.done < until
                and (within is None or entry.seconds <= within)]
        return len(good) / (until - since)


def p99_ms(entries):
    return percentile([entry.seconds for entry in entries], 0.99) * 1000


def p50_ms(entries):
    return percentile([entry.seconds for entry in entries], 0.5) * 1000


def starts_of(path):
    """What the workers logged: id → its starts."""
    found = defaultdict(list)
    for line in path.read_text().splitlines() if path.exists() else ():
        start = Start(line)
        found[start.id].append(start)
    return found
