"""table - the results as a table in a document, between two marks that stay."""

import datetime
import os
import re

BEGIN, END = "<!-- results -->", "<!-- end of results -->"


def cell(text):
    return text.replace("|", "\\|")


def row(trial):
    own = [measure for measure in trial.measures if measure.invariant is None]
    broken = [measure for measure in trial.measures if measure.invariant is not None and not measure.passed]
    measured = "; ".join(f"{measure} ({measure.bound})" for measure in own) or "nothing"
    verdict = "passed" if trial.passed else "**failed**: " + ", ".join(
        [measure.name for measure in own if not measure.passed] + [measure.invariant for measure in broken]
        + ([trial.error[:120]] if trial.error else []))
    remarks = "; ".join(trial.notes + (["disturbed by the machine"] if trial.disturbances else []))
    return f"| {trial.id} | {cell(trial.title)} | {cell(measured)} | {cell(verdict)} | {cell(remarks)} |"


def write(file, trials, command):
    """Puts the rows into the file's place for them; rows of tests that were not run stay."""
    text = file.read_text()
    old = text.split(BEGIN)[1].split(END)[0]
    rows = {line.split("|")[1].strip(): line for line in old.splitlines() if re.match(r"\| [A-Z]\d", line)}
    rows.update((trial.id, row(trial)) for trial in trials)
    head = (f"\n`{command}`, {datetime.date.today().isoformat()}, {os.cpu_count()} cores\n\n"
            "| | test | measured (pass number) | verdict | remarks |\n|---|---|---|---|---|\n")
    lines = "\n".join(rows[name] for name in sorted(rows, key=lambda name: (name[0], int(name[1:]))))
    file.write_text(text.split(BEGIN)[0] + BEGIN + "\n" + head + lines + "\n\n" + END + text.split(END)[1])
