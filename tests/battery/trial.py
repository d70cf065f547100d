"""trial - one test of the battery: what it measured, which pass numbers that met, how disturbed the machine was."""

import time
from contextlib import contextmanager

tests = []
TIMES = ("s", "ms", "%")


def trial(name, title):
    """Registers a test: a function of a Trial."""
    def register(function):
        tests.append((name, title, function))
        return function

    return register


def show(value, unit):
    text = f"{value:.0f}" if float(value).is_integer() else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return f"{text} {unit}".strip()


class Measure:
    def __init__(self, name, value, limit, unit, at_least, invariant=None, judged=True):
        self.name, self.value, self.limit, self.unit, self.at_least = name, value, limit, unit, at_least
        self.invariant = invariant
        self.passed = not judged or (value >= limit if at_least else value <= limit)

    @property
    def bound(self):
        return f"{'>=' if self.at_least else '<='} {show(self.limit, self.unit)}"

    def __str__(self):
        return f"{self.name} {show(self.value, self.unit)}"

    def values(self):
        return {"name": self.name, "value": self.value, "unit": self.unit, "pass_number": self.bound,
                "invariant": self.invariant, "passed": self.passed}


class Trial:
    def __init__(self, name, title, battery):
        self.id, self.title, self.battery = name, title, battery
        self.folder, self.olg, self.rogue = battery.folder, battery.tool("olg"), battery.tool("rogue")
        self.short = battery.short
        self.measures, self.notes, self.windows, self.error = [], [], [], None
        self.began = time.monotonic()

    # --- what a test says -------------------------------------------------------------------------

    def at_most(self, name, value, limit, unit=""):
        self.measures.append(Measure(name, value, limit, unit, False, judged=self.judges(unit)))

    def at_least(self, name, value, limit, unit=""):
        self.measures.append(Measure(name, value, limit, unit, True, judged=self.judges(unit)))

    def must(self, invariant, name, value, limit, unit=""):
        self.measures.append(Measure(name, value, limit, unit, False, invariant, self.judges(unit)))

    def judges(self, unit):
        return not (self.battery.no_times and unit in TIMES)

    def note(self, text):
        self.notes.append(text)

    def seconds(self, full, least=3):
        """The length of a load: as the battery says, or a short one where it was asked for."""
        return min(full, least) if self.short else full

    # --- the machine meanwhile --------------------------------------------------------------------

    def watch(self, pids=lambda: ()):
        window = self.battery.control.window(pids)
        self.windows.append(window)
        return window

    @staticmethod
    def unwatch(window):
        window.close()

    @contextmanager
    def watched(self, pids=lambda: ()):
        window = self.watch(pids)
        yield
        window.close()

    # --- the verdict ------------------------------------------------------------------------------

    @property
    def passed(self):
        return self.error is None and bool(self.measures) and all(measure.passed for measure in self.measures)

    @property
    def disturbances(self):
        return [window for window in self.windows if window.late_ms is not None and window.disturbed]

    def line(self):
        own = [measure for measure in self.measures if measure.invariant is None]
        broken = [measure for measure in self.measures if measure.invariant is not None and not measure.passed]
        parts = [f"{self.id} {self.title}: measured {', '.join(map(str, own)) or 'nothing'}",
                 f"pass number {', '.join(measure.bound for measure in own) or '-'}"]
        parts += [f"missed: {', '.join(measure.name for measure in own if not measure.passed)}"] * any(
            not measure.passed for measure in own)
        parts += [f"{measure.invariant}: {measure}, at most {show(measure.limit, measure.unit)}" for measure in broken]
        parts += self.notes
        parts += [f"stopped: {self.error}"] * (self.error is not None)
        parts += [f"disturbed: {window}" for window in sorted(self.disturbances, key=lambda one: -one.late_ms)[:1]]
        return "; ".join(parts) + ("; ok" if self.passed else "; FAILED")

    def values(self):
        return {"id": self.id, "title": self.title, "passed": self.passed,
                "seconds": round(time.monotonic() - self.began, 1), "error": self.error, "notes": self.notes,
                "measures": [measure.values() for measure in self.measures],
                "disturbed": [str(window) for window in self.disturbances]}
