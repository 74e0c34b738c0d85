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
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

from benchmarks.filling import BACKGROUND_SHARE, BULK_SECONDS, EVENT_SECONDS, Filled, Filling, Killed, empty
from benchmarks.report import Report, Row, Want
from shared.drchrono.kinds import KINDS
from shared.jobs import backfill
from shared.jobs.practice_state import KIND_NAMES
from shared.jobs.run import Run
from shared.jobs.stopping import Stopped
from shared.jobs.sync import sync
from shared.rate_limit.ledger import Lane
from shared.rate_limit.windows import parse_windows
from tests.clinic import Clinic

SYNC_EVERY = timedelta(minutes=5)
RUN = timedelta(minutes=14)
LONGEST = timedelta(days=20)
LEASE = timedelta(minutes=3)  # longer than a crashed run blocks the others
VERBOSE_PAGE = 50

# 22 for each patient. The service gives allergies in pages of 50, the others in pages of 250.
CHILDREN = {"medications": 9, "problems": 9, "allergies": 4}
FEW_CHILDREN = {"medications": 2, "problems": 2, "allergies": 2}

# The quota of each form, and how many minutes a practice of 10,000 patients may take.
SETTINGS = (("live", "100/minute", 20), ("live", "500/hour", 216), ("guide", "100/minute", None))

# The fillings that are only compared with the first one have fewer patients: they cost several times as many requests.
SMALLER = 10

HOW: dict[str, dict[str, bool]] = {
    "practice": {},
    "patient": {"by_patient": True},
    "events": {"events": True},
    "killed": {"crashing": True},
}


def filled(
    form: str,
    quota: str,
    patients: int,
    children: dict[str, int],
    *,
    by_patient: bool = False,
    events: bool = False,
    crashing: bool = False,
) -> Row:
    with empty(form, quota, patients, children, events=events, crashing=crashing) as clinic:
        if by_patient:
            lists = r"/api/(medications|problems|allergies)\?(?!.*patient=)"
            refusal = {"match": {"path": lists}, "fault": "answer", "status": 400, "body": {}}
            clinic.simulator.faults.set([refusal], replace=True)
        began, before = clinic.now(), clinic.simulator.stats()
        backfill.start(clinic.parts(), backfill.KIND_NAMES, date(2009, 1, 1))
        clinic.positions.changed = lambda: _end_if_filled(clinic)
        kills, worked_until = 0, None
        while clinic.now() - began < LONGEST:
            run, started = Run(clinic.parts(), deadline=clinic.now() + RUN), clinic.now()
            try:
                sync(run)
                worked_until = worked_until or clinic.now()
            except Stopped:
                pass
            except Filled:
                break
            except Killed:
                kills += 1
                clinic.positions.begin_run()
                clinic.sleep(LEASE.total_seconds())
                continue
            if _is_filled(clinic):
                break
            clinic.sleep(max(0.0, (started + SYNC_EVERY - clinic.now()).total_seconds()))
        clinic.positions.changed = lambda: None
        after = clinic.simulator.stats()
        ended = clinic.now()
        minutes = max((ended - began) / timedelta(minutes=1), 0.1)
        deferred = clinic.live.allowance.refused if clinic.live else "-"
        clinic.live, clinic.crashing = None, False
        _confirm(clinic)
        wrong = clinic.differences()
        assert not wrong, f"{len(wrong)} records differ from DrChrono"
        requests = after["requests"] - before["requests"]
        least = _least(clinic)
        return {
            "form": form,
            "quota": quota,
            "patients": patients,
            "filled": _what(by_patient, events, crashing),
            "kills": kills,
            "minutes": round(minutes, 1),
            "requests": requests,
            "least": least,
            "of least": round(requests / least, 3),
            "of the background's": _share(clinic, began, worked_until or ended, quota, reserved=events),
            "events that waited": deferred,
            "pages again": clinic.positions.again if crashing else "-",
            "429s": after["throttled"] - before["throttled"],
        }


def _end_if_filled(clinic: Filling) -> None:
    """Raise Filled: the second passes, which prove that nothing was missed, are not part of the filling."""
    if _is_filled(clinic):
        raise Filled


def _confirm(clinic: Filling) -> None:
    """Let the queue be worked off, while the second passes take their time."""
    for _ in range(2):
        clinic.later(minutes=1)
        with contextlib.suppress(Stopped):
            clinic.run(sync, RUN.total_seconds())


def _what(by_patient: bool, events: bool, crashing: bool) -> str:
    if crashing:
        return "killed"
    return "with events" if events else "by patient" if by_patient else "by practice"


def _share(clinic: Filling, began: datetime, until: datetime, quota: str, *, reserved: bool) -> float | str:
    """Return which share of the requests that the complete windows left to background work it used."""
    (window,) = parse_windows(quota)
    times = [at - began.timestamp() for at, lane in clinic.taken if lane is Lane.BACKGROUND]
    used = Counter(int(time // window.seconds) for time in times)
    whole = range(int((until - began).total_seconds() // window.seconds))
    left = window.limit * (BACKGROUND_SHARE if reserved else 1)
    return round(sum(used[number] for number in whole) / (left * len(whole)), 3) if whole else "-"


def _is_filled(clinic: Clinic) -> bool:
    kinds = (*backfill.KIND_NAMES, *KIND_NAMES)
    positions = [clinic.positions.get(kind) for kind in kinds]
    waiting = isinstance(clinic, Filling) and clinic.live is None and clinic.queue.waiting()
    return all(position.filled_at and not position.backfill for position in positions) and not waiting


def _least(clinic: Clinic) -> int:
    """Return one request for each page of the largest size that the form answers. A page of a live bulk list takes two:
    one to start it and one to fetch it.
    """
    live = clinic.simulator.config.live
    bulk = {"patients": 1000, "appointments": 1000, **({"clinical_notes": 1000} if live else {})}
    sizes = {"allergies": VERBOSE_PAGE, "clinical_notes": 20}
    counts = {kind: len(clinic.simulator.truth(kind)) for kind in KINDS}
    pages = sum(-(-count // sizes.get(kind, 250)) for kind, count in counts.items() if kind not in bulk)
    return pages + (2 if live else 1) * sum(-(-counts[kind] // size) for kind, size in bulk.items())


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
        again = round(float(str(row["pages again"])) / max(1, int(str(row["kills"]))), 2)
        yield _want(f"pages read again for each kill, {of}", "<=", 1, again)
    yield _want(f"429s, {of}, {row['filled']}", "<=", 0, row["429s"])


def _want(what: str, sign: str, bound: float, measured: object) -> Want:
    value = float(str(measured))
    return Want(what, f"{sign} {bound}", str(measured), value <= bound if sign == "<=" else value >= bound)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fill", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer patients: whether it works, not how fast")
    parser.add_argument("--patients", type=int, default=10_000, metavar="N", help="of the practice (10000)")
    parser.add_argument("--form", choices=("live", "guide"), help="only this one")
    parser.add_argument("--only", choices=tuple(HOW), help="only these fillings")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    patients, children = (100, FEW_CHILDREN) if options.quick else (options.patients, CHILDREN)
    report = Report("fill")
    for form, quota, most in SETTINGS:
        if options.form not in (None, form):
            continue
        for name, how in HOW.items():
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
