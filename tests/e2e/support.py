"""support - the runner of the end-to-end tests: sentences as test names, deadlines instead of sleeps.

A file of tests reads

    from support import test, main

    @test
    def a_sentence_that_says_what_holds(): ...

    main(__doc__)

and is run as `tests/e2e/test_NAME.py [BUILD] [WORD…]`: the build folder (else POOLGATE_BUILD, else
build), then words that select tests by name. Its last line is `N passed, N failed[, N skipped]`.
"""

import os
import re
import sys
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Skipped(Exception):
    """Raised by skip(): the test cannot be run here, and says why."""


class Build:
    """The folder under test, what kind of build it is, and how much more time that kind needs."""

    def __init__(self, folder):
        self.folder = Path(folder).resolve()
        self.program = self.folder / "poolgate"
        cache = self.folder / "CMakeCache.txt"
        found = re.search(r"^CMAKE_BUILD_TYPE:\w+=(\w*)", cache.read_text() if cache.exists() else "", re.M)
        self.kind = (found.group(1) if found else "release").lower()
        self.sanitized = self.kind in ("asan", "tsan")
        self.slack = {"asan": 4, "tsan": 8, "coverage": 2}.get(self.kind, 1)


def chosen_build():
    named = [word for word in sys.argv[1:] if (Path(word) / "CMakeCache.txt").exists()]
    return Build(named[0] if named else os.environ.get("POOLGATE_BUILD", ROOT / "build"))


build = chosen_build()
tests = []


def test(function):
    tests.append(function)
    return function


def skip(why):
    raise Skipped(why)


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def equal(actual, expected, about="value"):
    check(actual == expected, f"{about}: expected {expected!r}, got {actual!r}")


def between(low, actual, high, about="value"):
    check(low <= actual <= high, f"{about}: expected {low} to {high}, got {actual}")


def patient(seconds):
    """A bound on somebody's speed, wider where a sanitizer slows everything down."""
    return seconds * build.slack


def eventually(condition, within=5.0, about="condition", every=0.004):
    """The first true value of condition(), asked again and again until `within` seconds (patiently) are over."""
    end = time.monotonic() + patient(within)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{about}: not so within {patient(within):g} s (last seen: {value!r})")
        time.sleep(every)


def colour(code, text):
    return f"\x1b[{code}m{text}\x1b[0m" if sys.stdout.isatty() else text


class TooSlow(AssertionError):
    """All was right but for a time. A shared machine only ever adds to one, so such a test may try again."""


TRIES = 3  # at a bound on time; everything else has one


def in_time(seconds, limit_s, about):
    if seconds >= limit_s:
        raise TooSlow(f"{about}: {seconds * 1000:.1f} ms, at most {limit_s * 1000:.0f} ms")


def in_some_try(function):
    for attempt in range(1, TRIES + 1):
        try:
            return function()
        except TooSlow as slow:
            if attempt == TRIES:
                raise
            print(f"slow   {slow}: once more", flush=True)


def run_one(function):
    name, began = function.__name__.replace("_", " "), time.monotonic()
    verdict, detail = "passed", ""
    try:
        in_some_try(function)
    except Skipped as why:
        verdict, detail = "skipped", f": {why}"
    except BaseException as error:  # noqa: B902 - an interrupted or exiting test has failed as well
        verdict = "failed"
        traceback.print_exc(limit=-6, file=sys.stdout)
        if isinstance(error, KeyboardInterrupt):
            raise
    word = {"passed": colour(32, "ok    "), "skipped": colour(33, "skip  "), "failed": colour(31, "FAILED")}[verdict]
    print(f"{word} {name}{detail} ({time.monotonic() - began:.2f} s)", flush=True)
    return verdict


def main(title):
    words = [word for word in sys.argv[1:] if not (Path(word) / "CMakeCache.txt").exists()]
    chosen = [t for t in tests if not words or any(word in t.__name__ for word in words)]
    print((title or "").strip().splitlines()[0] if title else "", flush=True)
    if not os.access(build.program, os.X_OK):
        print(f"there is no program {build.program}: build it first\n0 passed, 1 failed")
        sys.exit(1)
    verdicts = [run_one(function) for function in chosen]
    skipped = verdicts.count("skipped")
    failed = verdicts.count("failed")
    print(f"{verdicts.count('passed')} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    sys.exit(1 if failed else 0)
