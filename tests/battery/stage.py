"""stage - one gateway with a pool whose capacity is known exactly, and what must hold after every test.

Four workers that sleep 20 ms for each request make C = 200 requests a second, whatever the machine. The teardown
is I1 and I3 to I6 of the battery's rules; I2 is about jobs.
"""

import os
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from gateway import SERVING, Gateway, echo
from ledger import Ledger, p99_ms, starts_of, steady
from support import eventually

SLOTS, RUN_MS = 4, 20
C = SLOTS * 1000 / RUN_MS
CAPACITY = 80
CONNECTIONS = 64
PROBE_S, CALM_S = 2.0, 2.0
SLOWER, PROBES = 1.2, 3
LIBRARY_THREADS = ("event_engine", "default-executo", "resolver-execut", "grpc_global_tim", "timer_manager")


def sleeping(name="echo", log=None, **more):
    """The pool of known capacity."""
    args = {"delay_ms": RUN_MS, **({"log": log} if log else {}), **more.pop("args", {})}
    return echo(name, slots=more.pop("slots", SLOTS), args=args, queue={"capacity": CAPACITY, **more.pop("queue", {})},
                **more)


class Stage:
    def __init__(self, trial, gateway, starts_file):
        self.trial, self.gateway, self.starts_file = trial, gateway, starts_file
        self.ledgers, self.loads, self.quiet_p99, self.calm_from = [], 0, None, time.monotonic()
        self.asked = 0  # requests that were not sent by olg
        self.closing = {}  # log lines of the end

    # --- load -------------------------------------------------------------------------------------

    def load(self, plan, connections=CONNECTIONS, during=None):
        """Sends the plan and returns its ledger; `during` runs beside it."""
        self.loads += 1
        lines = []
        for number, planned in enumerate(sorted(plan, key=lambda planned: planned.at_us)):
            words = ["-" if word is None else str(word) for word in planned.words]
            lines.append(f"{planned.at_us} {planned.name}-{self.loads:02d}{number:06d} {' '.join(words)}\n")
        files = [self.gateway.folder / f"{kind}-{self.loads}" for kind in ("plan", "ledger")]
        files[0].write_text("".join(lines))
        with open(files[0]) as source, open(files[1], "w") as target:
            process = subprocess.Popen([self.trial.olg, str(self.gateway.port), str(connections)], stdin=source,
                                       stdout=target, stderr=subprocess.PIPE, text=True)
            try:
                if during is not None:
                    during()
                _, said = process.communicate(timeout=300)
            finally:
                process.kill()
                process.wait()
        assert process.returncode == 0, said
        ledger = Ledger(files[1].read_text())
        for file in files:
            file.unlink()
        assert len(ledger) == len(plan), "every request has an entry"
        self.ledgers.append(ledger)
        self.calm_from = time.monotonic()
        return ledger

    def half_load(self, seconds=PROBE_S):
        return self.load(steady(C / 2, seconds, seed=7, name="half"))

    def starts(self):
        return starts_of(self.starts_file)

    def cpu_seconds(self):
        """Of the gateway alone."""
        fields = Path(f"/proc/{self.gateway.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def pids(self):
        return [self.gateway.pid, *self.gateway.marked_processes()]

    # --- before and after -------------------------------------------------------------------------

    def own_threads(self):
        """Without the pools of gRPC core, which grow with what they had to do, to a bound, and stay."""
        folder, count = Path(f"/proc/{self.gateway.pid}/task"), 0
        for task in folder.iterdir():
            try:
                count += (task / "comm").read_text().strip() not in LIBRARY_THREADS
            except OSError:
                pass
        return count

    def look(self):
        folder = Path(f"/proc/{self.gateway.pid}/fd")
        memory = 0
        for entry in folder.iterdir():
            try:
                memory += "memfd:" in os.readlink(entry)
            except OSError:
                pass
        return {"descriptors": self.gateway.descriptors(), "threads": self.own_threads(),
                "children": len(self.gateway.marked_processes()), "memfds": memory,
                "files": len(list(self.gateway.folder.iterdir()))}

    def prepare(self):
        self.load(steady(C / 2, 0.5, name="warm"))
        self.quiet_p99 = p99_ms(self.half_load())
        self.settle()
        self.before = self.look()

    def settle(self, within=10.0):
        """Nothing waits, nothing runs."""
        def quiet():
            pools = self.gateway.json("/v1/pools")["pools"]
            return all(pool["queue"]["waiting"] == 0 and not pool["slots"]["by_state"].get("processing", 0)
                       for pool in pools)

        eventually(quiet, within=within, about="nothing is under way", every=0.02)

    def teardown(self):
        self.settle()
        self.no_request_is_lost()
        self.no_execution_is_unaccounted()
        time.sleep(max(0.0, self.calm_from + CALM_S - time.monotonic()))
        self.half_load_is_as_before()
        self.everything_is_given_back()

    def no_request_is_lost(self):
        sent = sum(entry.tries for ledger in self.ledgers for entry in ledger) + self.asked
        maybe = sum(entry.code in ("gave_up", "broken") for ledger in self.ledgers for entry in ledger)
        strange = sum(entry.code in ("foreign", "?", "broken") for ledger in self.ledgers for entry in ledger)
        eventually(lambda: self.gateway.counted() >= sent - maybe, within=3, about="every request is counted")
        counted = self.gateway.counted()
        self.trial.must("I1", "requests sent and not counted, or counted and not sent",
                        0 if sent - maybe <= counted <= sent else abs(sent - counted), 0)
        self.trial.must("I1", "answers broken, of another request, or without a code", strange, 0)

    def no_execution_is_unaccounted(self):
        starts, attempts, unknown = self.starts(), {}, 0
        for ledger in self.ledgers:
            attempts.update((entry.id, entry) for entry in ledger)
        for name, seen in starts.items():
            entry = attempts.get(name)
            if entry is None:
                continue
            allowed = max(1, entry.attempts) + entry.tries - 1
            unknown += max(0, len(seen) - allowed)
        retried = sum(pool["totals"].get("retried", 0) for pool in self.gateway.json("/v1/pools")["pools"])
        self.trial.must("I3", "executions beyond one and the recorded retries", max(0, unknown - retried), 0)

    def half_load_is_as_before(self):
        """A machine that others use only ever adds to a time, so the time may be taken again; failures may not."""
        failed, times = 0, []
        for _ in range(PROBES):
            window = self.trial.watch(self.pids)
            ledger = self.half_load()
            self.trial.unwatch(window)
            failed += sum(not entry.ok for entry in ledger)
            times.append(p99_ms(ledger))
            if times[-1] <= SLOWER * self.quiet_p99:
                break
        self.trial.must("I6", "failed at half load after the test", failed, 0)
        self.trial.must("I6", f"p99 at half load after the test, {self.quiet_p99:.1f} ms before, try {len(times)}",
                        times[-1], SLOWER * self.quiet_p99, "ms")

    def everything_is_given_back(self):
        def gone():
            now = self.look()
            return all(abs(now[key] - self.before[key]) <= (2 if key in ("descriptors", "threads", "memfds") else 0)
                       for key in now)

        self.settle()
        try:
            eventually(gone, within=5, about="descriptors, threads, children, memory and files as before", every=0.05)
            self.trial.must("I4", "left behind", 0, 0)
        except AssertionError:
            now = self.look()
            for key in now:
                self.trial.must("I4", f"{key} left behind, {self.before[key]} before",
                                abs(now[key] - self.before[key]),
                                2 if key in ("descriptors", "threads", "memfds") else 0)


@contextmanager
def stage(trial, more=(), calm=True, **options):
    """A gateway with the sleeping pool `echo`, and the pools `more` beside it. `calm=False`: without I6 and I4."""
    sections = options.pop("sections", {})
    starts_file = trial.folder / f"starts-{trial.id}-{time.monotonic_ns()}"
    pools = [sleeping(log=starts_file, **options), *more]
    try:
        with Gateway(pools, conserve=False, keep_log_bounded=64 << 20, **sections) as gateway:
            place = Stage(trial, gateway, starts_file)
            eventually(lambda: all(slot["state"] in SERVING for slot in gateway.slots("echo")), within=15,
                       about="the sleeping workers are ready")
            window = trial.watch(place.pids)
            if calm:
                place.prepare()
            yield place
            if calm:
                place.teardown()
            trial.unwatch(window)
            if gateway.process.poll() is None:
                gateway.stop()
            place.closing.update({message: gateway.events(message) for message in ("grpc closed",)})
    except AssertionError as error:
        if "alarming lines" in str(error):
            trial.must("I5", str(error).splitlines()[1][:200], 1, 0)
        else:
            raise
    finally:
        starts_file.unlink(missing_ok=True)
