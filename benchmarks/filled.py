"""One filling of the fill benchmark, from the empty copy to the last record."""

from __future__ import annotations

import contextlib
from collections import Counter
from datetime import date, datetime, timedelta

from benchmarks.filling import BACKGROUND_SHARE, Filled, Filling, Killed, empty
from benchmarks.report import Row
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
