"""corepool - the group `core`: the pool without a front end, beside the same pool written in Rust.

core_pool is ours (tests/bench/core_pool), tokio_pool the peer (tests/bench/tokio_pool); each run of either is a
program that measures one thing and prints a line of JSON. Both check every answer.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

from load import Invalid, require
from row import Row

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CALLERS, SLOTS = 1024, 4
STAGED = (0, 1, 16)
WAYS = ("tokio-threads", "crossbeam-dispatched", "tokio-tasks", "crossbeam-shared")
FEW, MANY = 10, 100_000
CURVE = "0.5,0.8,1,1.2,2,3,5,10"
GOODPUT_AT = 3
COST_S = 2  # length of a run that looks for a slope, not for a rate
BYTES_PER_WAITING, CANCEL_MS = 768, 2
# Debian keeps the sources of the crates it packages here; cargo takes them instead of crates.io.
REGISTRY = Path("/usr/share/cargo/registry")


def run(command, seconds, **options):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=seconds + 120, check=False, **options)
    require(done.returncode == 0, f"{Path(command[0]).name} {command[1]} ended with {done.returncode}: "
                                  f"{done.stderr[-500:].strip()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def build_ours(build):
    subprocess.run([ROOT / "scripts" / "build", "release", build, str(os.cpu_count() or 2), "core_pool"], check=True)
    return build / "bench" / "core_pool"


def build_peer(folder):
    """The program, or why there is none. It is built from a copy: cargo writes beside its sources."""
    if not (cargo := shutil.which("cargo")):
        return None, "there is no cargo (scripts/deps bench)"
    if not list(REGISTRY.glob("tokio-1*")) or not list(REGISTRY.glob("crossbeam-channel-0.5*")):
        return None, f"no tokio or crossbeam-channel in {REGISTRY} (scripts/deps bench)"
    home = folder / "tokio_pool"
    shutil.copytree(HERE / "tokio_pool", home, dirs_exist_ok=True)
    command = [cargo, "build", "--release", "--offline", "--quiet",
               "--config", 'source.crates-io.replace-with="debian"',
               "--config", f'source.debian.directory="{REGISTRY}"']
    done = subprocess.run(command, cwd=home, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600,
                          env={**os.environ, "CARGO_HOME": str(home / "home"),
                               "CARGO_TARGET_DIR": str(home / "target")}, check=False)
    if done.returncode != 0:
        return None, f"cargo could not build tokio_pool: {done.stderr[-400:].strip()}"
    return home / "target" / "release" / "tokio_pool", None


class Core:
    def __init__(self, build, rounds, seconds, say):
        self.build, self.rounds, self.seconds, self.say = build, rounds, seconds, say
        self.program = build_ours(build)
        self.peer, self.why_no_peer = build_peer(build / "bench")
        self.seen = {}

    def note(self, name, value):
        self.seen.setdefault(name, []).append(value)

    def ask(self, measure, *options):
        """One measure of ours; the lines that it printed."""
        return run([self.program, measure, "--json", "--build", self.build, *options], self.seconds)

    def rate(self, isolation, staged, **others):
        options = {"seconds": self.seconds, "callers": CALLERS, **others}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return self.ask("rate", "--isolation", isolation, "--staged", staged, "--slots", SLOTS, *words)[0]["rate"]

    def rates(self):
        """Ours and the peers in turn."""
        turns = [(kind, staged) for staged in STAGED for kind in ("thread", "process")]
        ways = list(WAYS) if self.peer else []
        while turns or ways:
            for isolation, staged in turns[:2]:
                self.note((isolation, staged), self.rate(isolation, staged))
            for way in ways[:2]:
                self.note(way, run([self.peer, way, CALLERS, SLOTS, self.seconds], self.seconds)[0]["rate"])
            turns, ways = turns[2:], ways[2:]

    def costs(self):
        """Microseconds a request with a short and a long queue, few and many tenants. A slot holds one
        request and one staged: the others wait."""
        for isolation, staged in (("process", 1), ("thread", 16)):
            held = SLOTS * (1 + staged)
            for waiting in (FEW, MANY):
                # A flood at the start makes the estimate of the wait run high: nobody is to be refused here.
                rate = self.rate(isolation, staged, callers=waiting + held, seconds=COST_S,
                                 **{"deadline-ms": 3_600_000})
                self.note(("waiting", isolation, waiting), 1e6 / rate)
            for tenants in (1, 1000):
                rate = self.rate(isolation, staged, tenants=tenants, seconds=COST_S)
                self.note(("tenants", isolation, tenants), 1e6 / rate)

    def others(self):
        self.note("bytes", self.ask("memory", "--waiting", 10000)[0]["resident_bytes"])
        for isolation in ("process", "thread"):
            self.note(("cancel", isolation), self.ask("cancel", "--isolation", isolation, "--trials",
                                                      200)[0]["p99_ms"])
        jump = self.ask("jump", "--waiting", 10000)[0]
        self.note("overtaken", jump["overtaken_max"])
        self.note("jump", (jump["wait_p50_ms"], jump["wait_max_ms"]))
        line = self.ask("overload", "--factors", GOODPUT_AT, "--seconds", max(5, self.seconds))[0]
        self.note("goodput", line["goodput"])
        self.note("capacity", line["capacity"])

    def measure(self):
        for number in range(1, self.rounds + 1):
            for part in (self.rates, self.costs, self.others):
                part()
            self.say(f"bench: round {number} of {self.rounds}, the core by itself")

    def rows(self):
        found, rows = self.seen, []

        def row(name, unit, target, ours, peer, lower=False):
            if ours in found and peer in found:
                rows.append(Row(name, unit, target, found[ours], found[peer], lower))

        for isolation in ("thread", "process"):
            for staged in STAGED[:2]:
                ours = f"core, {isolation} slots, staged {staged}"
                row(f"{ours} / tokio threads", "requests/s", 0.9, (isolation, staged), "tokio-threads")
                row(f"{ours} / crossbeam dispatched", "requests/s", 1.7, (isolation, staged), "crossbeam-dispatched")
            row(f"core, {isolation} slots, staged 16 / tokio tasks", "requests/s", 0.5, (isolation, 16),
                "tokio-tasks")
        row("core, thread slots, staged 16 / crossbeam shared", "requests/s", 0, ("thread", 16), "crossbeam-shared")
        for staged in STAGED:
            row(f"core, staged {staged}, process slots / thread slots", "requests/s", 0.9, ("process", staged),
                ("thread", staged))
        for isolation, target in (("process", 0.67), ("thread", 0)):
            held = "staged 1" if isolation == "process" else "threads, staged 16"
            row(f"core, cost with {MANY} waiting / with {FEW}, {held}", "us", target,
                ("waiting", isolation, MANY), ("waiting", isolation, FEW), lower=True)
            row(f"core, cost with 1000 tenants / with 1, {held}", "us", target, ("tenants", isolation, 1000),
                ("tenants", isolation, 1), lower=True)
        rows.append(Row(f"core, bytes a waiting request / {BYTES_PER_WAITING}", "bytes", 1, found["bytes"],
                        [BYTES_PER_WAITING], lower=True))
        for isolation in ("process", "thread"):
            rows.append(Row(f"core, cancel to free slot, {isolation}, p99 / {CANCEL_MS} ms", "ms", 1,
                            found["cancel", isolation], [CANCEL_MS], lower=True))
        row(f"core, goodput at {GOODPUT_AT} x capacity / capacity", "answers/s", 0.95, "goodput", "capacity")
        return rows

    def say_jump(self):
        medians, longest = zip(*self.seen["jump"])
        self.say(f"bench: queue jump, 10000 normal requests of 10 ms ahead, 4 slots: at most "
                 f"{max(self.seen['overtaken'])} of them began between the coming of a critical one and its begin, "
                 f"which took {sorted(medians)[len(medians) // 2]:.2f} ms (median), at most {max(longest):.2f} ms")

    def say_curve(self):
        """Once: good answers a second, of the capacity, from below it to far above."""
        self.say("bench: overload, 4 slots of 20 ms, deadlines of 500 ms, latency from the intended moment\n"
                 f"{'policy':<7} {'x capacity':>10} {'goodput/s':>10} {'share':>6} {'refused':>8} {'expired':>8} "
                 f"{'late':>5} {'p50 ms':>7} {'p99 ms':>7}")
        for policy in ("shed", "none"):
            for line in self.ask("overload", "--overload", policy, "--factors", CURVE, "--seconds", 2):
                self.say(f"{policy:<7} {line['factor']:>10g} {line['goodput']:>10.1f} {line['share']:>6.3f} "
                         f"{line['shed']:>8} {line['expired']:>8} {line['late']:>5} {line['p50_ms']:>7.1f} "
                         f"{line['p99_ms']:>7.1f}")


def measure_core(build, rounds, seconds, say, rows, skipped):
    core = Core(build, rounds, seconds, say)
    if core.why_no_peer:
        skipped.append(f"core / tokio and crossbeam: skipped, {core.why_no_peer}")
    try:
        core.measure()
        core.say_jump()
        core.say_curve()
    except subprocess.TimeoutExpired as error:
        raise Invalid(f"core: {error.cmd[:2]} did not end") from None
    rows.extend(core.rows())
