"""Measure a first backfill under the quota, on a clock that runs faster: how long it takes until the copy equals
DrChrono's data, and how many requests it costs.

The baselines are the least possible number of requests, and a backfill by the lists of single patients. HTTP, the store
and the rate limiter are real. A sync starts every five minutes and may run for fourteen. Two more backfills run with a
live event every ten seconds, and with the process killed at every tenth page.

    python -m benchmarks.fill [--quick] [--patients N] [--form F] [--json FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from benchmarks.filled import filled
from benchmarks.filling import BULK_SECONDS, EVENT_SECONDS
from benchmarks.report import Report, Row, Want, bounded

# 22 for each patient. The service gives allergies in pages of 50, the others in pages of 250.
CHILDREN = {"medications": 9, "problems": 9, "allergies": 4}
FEW_CHILDREN = {"medications": 2, "problems": 2, "allergies": 2}

# The quota of each form, and how many minutes a practice of 10,000 patients may take.
SETTINGS = (("live", "100/minute", 20), ("live", "500/hour", 216), ("guide", "100/minute", None))

# The fillings that are only compared with the first one have fewer patients: they cost several times as many requests.
SMALLER = 10

VARIANTS: dict[str, dict[str, bool]] = {
    "practice": {},
    "patient": {"by_patient": True},
    "events": {"events": True},
    "killed": {"crashing": True},
}


def _wanted(row: Row, most: int | None) -> Iterator[Want]:
    """most: the most minutes that the filling may take."""
    of = f"{row['form']}, {row['quota']}"
    if row["filled"] == "by practice":
        yield _want(f"requests of the least possible, {of}", "<=", 1.15, row["of least"])
        if row["of the background's"] != "-":
            yield _want(f"share of the quota that is used, {of}", ">=", 0.95, row["of the background's"])
        if most is not None:
            yield _want(f"minutes until everything is equal, {of}", "<=", most, row["minutes"])
    if row["filled"] == "killed":
        again = round(float(row["pages again"]) / max(1, int(row["kills"])), 2)
        yield _want(f"pages read again for each kill, {of}", "<=", 1, again)
    yield _want(f"429s, {of}, {row['filled']}", "<=", 0, row["429s"])


def _want(what: str, sign: Literal["<=", ">="], bound: float, measured: str | float) -> Want:
    return bounded(what, sign, bound, float(measured), str(measured))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fill", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer patients: whether it works, not how fast")
    parser.add_argument("--patients", type=int, default=10_000, metavar="N", help="of the practice (10000)")
    parser.add_argument("--form", choices=("live", "guide"), help="only this one")
    parser.add_argument("--only", choices=tuple(VARIANTS), help="only these fillings")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    patients, children = (100, FEW_CHILDREN) if options.quick else (options.patients, CHILDREN)
    report = Report("fill")
    for form, quota, most in SETTINGS:
        if options.form not in (None, form):
            continue
        for name, how in VARIANTS.items():
            if options.only not in (None, name):
                continue
            with contextlib.redirect_stdout(io.StringIO()):
                row = filled(form, quota, patients if not how else max(1, patients // SMALLER), children, **how)
            report.rows.append(row)
            report.wanted += _wanted(row, most)
    shares = ", ".join(f"{count} {kind}" for kind, count in children.items())
    report.notes.append(f"{patients:,} patients with {sum(children.values())} records each: {shares}.")
    report.notes.append("All fillings but those by practice have a tenth of the patients.")
    report.notes.append("The least possible: a request for each full page (live bulk pages: two), and no other.")
    report.notes.append(f"Live, a bulk list takes {BULK_SECONDS} s. Events: one every {EVENT_SECONDS} s.")
    report.show(options.json)


if __name__ == "__main__":
    main()
