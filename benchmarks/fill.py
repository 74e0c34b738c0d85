"""Measure a first filling under the quota, on a clock that runs faster: how long it takes until the copy equals the
truth, and how many requests it costs, beside the least possible and beside the lists of single patients.

HTTP, the store and the rate limiter are real; a sync starts every five minutes and may run for fourteen.

    python -m benchmarks.fill [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

from benchmarks.report import Report, Row, Want
from shared.drchrono.kinds import KINDS
from shared.jobs import backfill, practice_lists
from shared.jobs.run import Parts, Run, Stopped
from shared.jobs.sync import sync
from shared.jobs.waiting import WaitingLimiter
from shared.rate_limit.ledger import Lane
from shared.rate_limit.limiter import RateLimiter
from shared.rate_limit.windows import parse_windows
from simulator.quota import parse_quota
from tests.clinic import Clinic, simulator
from workstation.embedded_documents import EmbeddedDocuments

SYNC_EVERY = timedelta(minutes=5)
RUN = timedelta(minutes=14)
LONGEST = timedelta(days=20)
VERBOSE_PAGE = 50


class Filling(Clinic):
    """A clinic whose background requests wait for the quota, as those of `main.System` do."""

    def parts(self) -> Parts:
        waiting = WaitingLimiter(self.allowance, self.now, self.sleep)
        api = self.drchrono.in_lane(Lane.BACKGROUND, waiting)
        children = self.refresh(Lane.BACKGROUND)
        children._api = api
        return replace(super().parts(), lists=api, children=children, waiting=waiting)


@contextmanager
def empty(form: str, quota: str, patients: int, children: int) -> Iterator[Filling]:
    sizes = {"patients": patients, "appointments": 2 * patients, "notes": patients // 5, "children": children}
    with simulator(form=form, **sizes) as running, tempfile.TemporaryDirectory() as folder:

        def now() -> datetime:
            return datetime.fromtimestamp(running.clock.now(), timezone.utc)

        def sleep(seconds: float) -> None:
            running.clock.advance(seconds)

        documents = EmbeddedDocuments(Path(folder) / "store.sqlite3", now=now)
        running.quota.set(parse_quota(quota))
        limiter = RateLimiter(
            documents,
            parse_windows(quota),
            background_share=0.8,
            now=now,
            sleep=sleep,
            instance="fill",
        )
        yield Filling(running, documents, limiter)


def filled(form: str, quota: str, patients: int, children: int, *, by_patient: bool) -> Row:
    with empty(form, quota, patients, children) as clinic:
        if by_patient:
            lists = r"/api/(medications|problems|allergies)\?(?!.*patient=)"
            refusal = {"match": {"path": lists}, "fault": "answer", "status": 400, "body": {}}
            clinic.simulator.faults.set([refusal], replace=True)
        began, before = clinic.now(), clinic.simulator.stats()
        backfill.start(clinic.parts(), backfill.KIND_NAMES, date(2009, 1, 1))
        while clinic.now() - began < LONGEST:
            run, started = Run(clinic.parts(), deadline=clinic.now() + RUN), clinic.now()
            with contextlib.suppress(Stopped):
                sync(run)
            if _is_filled(clinic):
                break
            clinic.later(seconds=max(0.0, (started + SYNC_EVERY - clinic.now()).total_seconds()))
        wrong = clinic.differences()
        assert not wrong, f"{len(wrong)} records differ from DrChrono"
        after = clinic.simulator.stats()
        minutes = max((clinic.now() - began) / timedelta(minutes=1), 0.1)
        requests = after["requests"] - before["requests"]
        least = _least(clinic)
        (window,) = parse_windows(quota)
        return {
            "form": form,
            "quota": quota,
            "children": "by patient" if by_patient else "by practice",
            "minutes": round(minutes, 1),
            "requests": requests,
            "least": least,
            "of least": round(requests / least, 2),
            "of quota": round(requests / (window.limit * minutes * 60 / window.seconds), 2),
            "429s": after["throttled"] - before["throttled"],
        }


def _is_filled(clinic: Clinic) -> bool:
    kinds = (*backfill.KIND_NAMES, *practice_lists.KIND_NAMES)
    positions = [clinic.positions.get(kind) for kind in kinds]
    return all(position.filled_at and not position.backfill for position in positions) and not clinic.queue.waiting()


def _least(clinic: Clinic) -> int:
    """A request for each page of the largest size that the form answers."""
    sizes = {"patients": 1000, "appointments": 1000, "clinical_notes": 1000, "allergies": VERBOSE_PAGE}
    if clinic.simulator.config.form == "guide":
        sizes["clinical_notes"] = 20
    counts = {kind: len(clinic.simulator.truth(kind)) for kind in KINDS}
    return sum(-(-count // sizes.get(kind, 250)) for kind, count in counts.items() if count)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fill", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer patients: whether it works, not how fast")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    patients, children = (100, 4) if options.quick else (1000, 22)
    report = Report("fill")
    for form, quota in (("live", "100/minute"), ("live", "500/hour"), ("guide", "100/minute")):
        for by_patient in (False, True):
            with contextlib.redirect_stdout(io.StringIO()):
                row = filled(form, quota, patients, children, by_patient=by_patient)
            report.rows.append(row)
            if not by_patient:
                ratio = float(row["of least"])
                what = f"requests of the least possible, {form}, {quota}"
                report.wanted.append(Want(what, "<= 1.15", str(ratio), ratio <= 1.15))
    report.notes.append(f"{patients:,} patients with {children} records of medications, problems and allergies each.")
    report.notes.append("The least possible: a request for each full page, and none for anything else.")
    report.show(options.json)


if __name__ == "__main__":
    main()
