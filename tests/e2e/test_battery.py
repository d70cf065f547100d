#!/usr/bin/env python3
"""battery: its short form, of what does not hang on a quiet machine"""

import subprocess
import sys

from support import ROOT, build, check, main, skip, tests

# Not here: what measures rates and times (`make battery`), and what `make test` shows elsewhere.
SHORT = ("A2", "F1", "F3", "F4", "G1", "G3", "G5", "J1", "J4", "J5", "L1", "L3", "L4", "M1", "M2", "M4", "M6")


def short(name):
    def run():
        if build.sanitized:
            skip("its pass numbers are for a release build")
        ended = subprocess.run([sys.executable, ROOT / "tests" / "battery" / "run", build.folder, name, "--short",
                                "--no-times"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        check(ended.returncode == 0, ended.stdout)

    run.__name__ = f"{name}_in_short"
    return run


tests.extend(short(name) for name in SHORT)
main(__doc__)
