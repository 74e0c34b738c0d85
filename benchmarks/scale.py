"""What a practice of any size costs: requests, Firestore operations and money a day.

What one event, one list, one sync costs is measured here, on the simulator and a store that counts; how often they
happen is the arithmetic of `Practice`, whose assumptions stand beside it.

    python -m benchmarks.scale [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.report import Report, Row, Want
from functions.store_record import handle
from shared.documents import Data, DocumentExists, Documents, Snapshot, Transaction, Where
from shared.jobs import backfill, practice_lists, reconcile
from shared.jobs.children import lists_of
from shared.jobs.practice_state import KIND_NAMES
from shared.jobs.sync import sync
from shared.jobs.worklist import work_off
from shared.queue.entries import Priority
from shared.webhooks.events import Change, encode
from simulator import Simulator
from tests.clinic import Clinic, simulator
from workstation.embedded_documents import EmbeddedDocuments

T = TypeVar("T")
Item = TypeVar("Item")

SIZES = (1_000, 10_000, 100_000, 1_000_000)


@dataclass(frozen=True)
class Cost:
    """requests: to DrChrono. The others are Firestore's, as it bills them."""

    requests: float = 0.0
    reads: float = 0.0
    writes: float = 0.0
    deletes: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    def __mul__(self, times: float) -> Cost:
        return Cost(*(getattr(self, one.name) * times for one in fields(self)))


class Counted:
    """A store in front of a store that counts what Firestore would bill: a query or a miss costs one read at least."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self.reads = self.writes = self.deletes = 0

    def get(self, path: str) -> Data | None:
        self.reads += 1
        return self._documents.get(path)

    def snapshot(self, path: str) -> Snapshot:
        self.reads += 1
        return self._documents.snapshot(path)

    def get_all(self, paths: Sequence[str], fields: Sequence[str] = ()) -> dict[str, Data]:
        self.reads += len(paths)
        return self._documents.get_all(paths, fields)

    def transact(self, work: Callable[[Transaction], T]) -> T:
        refused: list[_CountedTransaction] = []

        def counted(transaction: Transaction) -> T:
            refused.append(_CountedTransaction(transaction, self))
            return work(refused[-1])

        try:
            return self._documents.transact(counted)
        except DocumentExists:
            # What a refused commit costs is not documented: that Firestore looked at each document, it is assumed.
            self.writes -= refused[-1].created
            self.reads += refused[-1].created
            raise

    def each(self, work: Callable[[Item], T], items: Iterable[Item]) -> list[T]:
        return self._documents.each(work, items)

    def query(self, collection: str, where: Sequence[Where] = (), **options: Any) -> Iterator[tuple[str, Data]]:
        found = list(self._documents.query(collection, where, **options))
        self.reads += max(1, len(found))
        return iter(found)

    def count(self, collection: str, where: Sequence[Where] = ()) -> int:
        found = self._documents.count(collection, where)
        self.reads += max(1, math.ceil(found / 1000))  # a thousand index entries for the price of one read
        return found


class _CountedTransaction:
    def __init__(self, transaction: Transaction, bill: Counted) -> None:
        self._transaction, self._bill = transaction, bill
        self.created = 0

    def get(self, path: str) -> Data | None:
        self._bill.reads += 1
        return self._transaction.get(path)

    def snapshot(self, path: str) -> Snapshot:
        self._bill.reads += 1
        return self._transaction.snapshot(path)

    def get_all(self, paths: Sequence[str], fields: Sequence[str] = ()) -> dict[str, Data]:
        self._bill.reads += len(paths)
        return self._transaction.get_all(paths, fields)

    def create(self, path: str, data: Data) -> None:
        self._bill.writes += 1
        self.created += 1
        self._transaction.create(path, data)

    def set(self, path: str, data: Data) -> None:
        self._bill.writes += 1
        self._transaction.set(path, data)

    def update(self, path: str, data: Data) -> None:
        self._bill.writes += 1
        self._transaction.update(path, data)

    def delete(self, path: str) -> None:
        self._bill.deletes += 1
        self._transaction.delete(path)


class Meter:
    """What a deed costs, in a clinic of so many patients with two visits each and two of each of the three lists."""

    def __init__(self, running: Simulator, folder: Path) -> None:
        self.bill = Counted(EmbeddedDocuments(folder / "documents.sqlite3"))
        self.clinic = Clinic(running, self.bill)

    def of(self, deed: Callable[[], object]) -> Cost:
        bill, clinic = self.bill, self.clinic
        before = (clinic.requests(), bill.reads, bill.writes, bill.deletes)
        deed()
        after = (clinic.requests(), bill.reads, bill.writes, bill.deletes)
        return Cost(*(one - other for one, other in zip(after, before, strict=True)))

    def event(self, name: str, kind: str, times: int) -> Cost:
        """The mean of one event about a record that has just changed; the lists that it marks are left out."""
        clinic, total = self.clinic, Cost()
        for key in sorted(clinic.simulator.truth(kind))[:times]:
            clinic.simulator.change(kind, key, webhook=False)
            clinic.later(minutes=1)
            data = base64.b64encode(encode(Change(name, kind, key, "delivery", clinic.now()))).decode()
            total += self.of(partial(handle, {"message": {"data": data}}, clinic.store()))
        return total * (1 / times)


@dataclass(frozen=True)
class Units:
    """What one of each costs; `filled`, `passed` and `children`: the backfill, the reconciliation and the daily pass
    over medications, problems and allergies, for one record.
    """

    patient: Cost
    appointment: Cost
    note: Cost
    listed: Cost
    tick: Cost
    lists: Cost
    filled: Cost
    passed: Cost
    children: Cost


def units(*, patients: int, times: int) -> Units:
    settings = {"form": "guide", "patients": patients, "token_seconds": 10**9}
    with simulator(**settings) as running, tempfile.TemporaryDirectory() as folder:
        meter = Meter(running, Path(folder))
        clinic = meter.clinic
        backfill.start(clinic.parts(), backfill.KIND_NAMES, date(2009, 1, 1))
        filled = meter.of(lambda: clinic.run(backfill.go_on))
        records = sum(len(running.truth(name)) for name in backfill.KIND_NAMES)
        clinic.run(practice_lists.go_on)
        clinic.queue.enqueue(lists_of(running.truth("patients"), clinic.now(), KIND_NAMES))
        entries = clinic.queue.waiting()
        listed = meter.of(lambda: clinic.run(lambda run: work_off(run, Priority.BACKFILL), seconds=10**6))
        for _ in range(2):  # the second gives appointments that were stored before their doctors the instant
            clinic.later(hours=6)
            clinic.run(sync)
        tick = meter.of(lambda: clinic.run(sync))
        clinic.later(hours=6)
        lists = meter.of(lambda: clinic.run(sync))
        practice_lists.start(clinic.parts())
        children = meter.of(lambda: clinic.run(practice_lists.go_on))
        kept = sum(len(running.truth(name)) for name in KIND_NAMES)
        reconcile.start(clinic.parts(), backfill.KIND_NAMES)
        passed = meter.of(lambda: clinic.run(reconcile.go_on))
        return Units(
            patient=meter.event("PATIENT_MODIFY", "patients", times),
            appointment=meter.event("APPOINTMENT_MODIFY", "appointments", times),
            note=meter.event("CLINICAL_NOTE_LOCK", "clinical_notes", times),
            listed=listed * (1 / entries),
            tick=tick,
            lists=lists,
            # What a page costs is counted below, by the page: here the store's part alone.
            filled=Cost(0, filled.reads, filled.writes, filled.deletes) * (1 / records),
            passed=Cost(0, passed.reads, passed.writes, passed.deletes) * (1 / records),
            children=Cost(0, children.reads, children.writes, children.deletes) * (1 / kept),
        )


@dataclass(frozen=True)
class Practice:
    """A practice of `patients`, and what is assumed of it.

    A patient comes three times a year, on one of 250 working days; a visit is made, confirmed and moved through the
    day (6 changes), its patient's record is edited twice, and its note is signed once. Five years are kept, and for
    each patient 22 medications, problems and allergies.
    """

    patients: int

    @property
    def visits(self) -> float:
        """A working day."""
        return self.patients * 3 / 250

    @property
    def kept(self) -> dict[str, float]:
        """Records with a list of changes."""
        return {"patients": self.patients, "appointments": self.patients * 15.0, "clinical_notes": self.patients * 12.0}

    @property
    def children(self) -> dict[str, float]:
        """Records without one."""
        return {"medications": self.patients * 9, "problems": self.patients * 9, "allergies": self.patients * 4}


# Of a day: the scheduler's ticks; how many of them find the lists of a kind due (Kind.sync_minutes); a patient's lists
# are looked at after each sync that saw the patient, the note of a visit likewise.
TICKS, LISTS = 288, 96
LISTS_OF_A_VISIT = 3 * 2
NOTES_OF_A_VISIT = 3
PAGE = {"patients": 1000, "appointments": 1000, "clinical_notes": 20}
LIVE_PAGE = {**PAGE, "clinical_notes": 1000}
CHILD_PAGE = {"medications": 250, "problems": 250, "allergies": 50}
# Without a count of the list a first filling reads it twice, to show that no record was missed.
GUIDE_READINGS = 2
# Of a live bulk list: a page is begun by one request and fetched by another.
LIVE_REQUESTS = 2
PASS_SHARE = 0.1  # the default of DRCHRONO_PASS_SHARE
GUIDE_DAY, LIVE_DAY = 144_000, 12_000  # requests: 100 a minute, 500 an hour


def pages(practice: Practice, *, live: bool = False) -> int:
    """Requests of one complete pass over all lists of changes."""
    size = LIVE_PAGE if live else PAGE
    count = sum(math.ceil(kept / size[kind]) for kind, kept in practice.kept.items())
    return LIVE_REQUESTS * count if live else count


def child_pages(practice: Practice) -> int:
    """Requests of one pass over the lists of the practice."""
    return sum(math.ceil(practice.children[kind] / size) for kind, size in CHILD_PAGE.items())


def first_filling(practice: Practice, *, live: bool = False) -> int:
    """Requests."""
    return pages(practice, live=live) * (1 if live else GUIDE_READINGS) + child_pages(practice)


def day(practice: Practice, unit: Units, *, passes: float = 1.0, live: bool = False) -> Cost:
    """passes: reconciliations a day. The passes over the lists of the practice are one a day, or as many as their share
    of the quota allows.
    """
    visits, kept, children = practice.visits, practice.kept, child_pages(practice)
    allowed = PASS_SHARE * (LIVE_DAY if live else GUIDE_DAY)
    share = min(1.0, allowed / children) if children else 1.0
    return (
        unit.appointment * (6 * visits)
        + unit.patient * (2 * visits)
        + unit.note * visits
        + unit.listed * ((LISTS_OF_A_VISIT + NOTES_OF_A_VISIT) * visits)
        + unit.tick * TICKS
        + unit.lists * LISTS
        + unit.children * (sum(practice.children.values()) * share)
        + unit.passed * (sum(kept.values()) * passes)
        + Cost(requests=children * share + pages(practice, live=live) * passes)
    )


@dataclass(frozen=True)
class Prices:
    """US dollars. List prices of 2025, tier 1 regions, without what is free: cloud.google.com/firestore/pricing (the
    multi-region nam5; one region costs about half) and cloud.google.com/run/pricing.
    """

    reads: float = 0.06 / 100_000
    writes: float = 0.18 / 100_000
    deletes: float = 0.02 / 100_000
    gib_month: float = 0.18
    second: float = 0.000024 + 0.0000025  # one vCPU and one GiB
    fixed: float = 5.0  # a month: secret versions, keys, scheduler, logs and alerts of an idle system


# Seconds that are billed for: a webhook and its event, a request of a job, a tick with nothing to do.
EVENT_SECONDS, REQUEST_SECONDS, TICK_SECONDS = 0.6, 0.5, 2.0
# Of a patient with all that hangs on it, and Firestore's indexes on it again as much.
KIB_OF_A_PATIENT = 100 * 2
MONTH_DAYS = 30


def month(practice: Practice, cost: Cost, prices: Prices) -> float:
    """US dollars."""
    events = 9 * practice.visits
    seconds = events * EVENT_SECONDS + max(0.0, cost.requests - events) * REQUEST_SECONDS + TICKS * TICK_SECONDS
    store = cost.reads * prices.reads + cost.writes * prices.writes + cost.deletes * prices.deletes
    kept = practice.patients * KIB_OF_A_PATIENT / 2**20
    return (store + seconds * prices.second) * MONTH_DAYS + kept * prices.gib_month + prices.fixed


def rows(unit: Units) -> list[Row]:
    found: list[Row] = []
    for patients in SIZES:
        practice = Practice(patients)
        daily, weekly = day(practice, unit), day(practice, unit, passes=1 / 7, live=True)
        found.append(
            {
                "patients": patients,
                "requests a day": round(daily.requests),
                "pass weekly": round(weekly.requests),
                "of 100/min": f"{daily.requests / 144_000:.1%}",
                "of 500/h": f"{weekly.requests / 12_000:.0%}",
                "first fill at 100/min, h": round(first_filling(practice) / 6000 / 0.8, 1),
                "at 500/h, h": round(first_filling(practice, live=True) / 500 / 0.8, 1),
                "$ a month": round(month(practice, weekly, Prices())),
            }
        )
    return found


def stored(unit: Units) -> list[Row]:
    found: list[Row] = []
    for patients in SIZES:
        practice = Practice(patients)
        weekly = day(practice, unit, passes=1 / 7, live=True)
        found.append(
            {
                "patients": patients,
                "events a day": round(9 * practice.visits),
                "reads a day": round(weekly.reads),
                "writes a day": round(weekly.writes),
                "writes a busy s": round(weekly.writes / (8 * 3600), 2),
                "GiB": round(patients * KIB_OF_A_PATIENT / 2**20, 1),
            }
        )
    return found


def measure(*, quick: bool) -> Report:
    report = Report("scale")
    with contextlib.redirect_stdout(io.StringIO()):  # the log lines of the system
        unit = units(patients=60 if quick else 300, times=5 if quick else 30)
    for one in fields(Units):
        cost: Cost = getattr(unit, one.name)
        report.rows.append(
            {"cost of": SAID[one.name], **{each.name: round(getattr(cost, each.name), 2) for each in fields(Cost)}}
        )
    report.rows += [*rows(unit), *stored(unit)]
    report.wanted += [
        Want(
            f"requests for one event of {kind}",
            "at most 1.1",
            f"{cost.requests:.2f}",
            cost.requests <= 1.1,
        )
        for kind, cost in (("patients", unit.patient), ("appointments", unit.appointment), ("notes", unit.note))
    ]
    operations = unit.patient.reads + unit.patient.writes + unit.patient.deletes
    report.wanted.append(
        Want(
            "Firestore operations for one event of patients, the feed off",
            "fewer than 10",
            f"{unit.patient.reads:.1f} reads, {unit.patient.writes:.1f} writes",
            operations < 10,
        )
    )
    report.notes += [
        "Requests a day with a complete pass every night; 'pass weekly' and all that follows with one a week.",
        "At 100 a minute by the guide's lists, at 500 an hour by the live ones.",
        "The first fill uses 80 %; without events, all.",
    ]
    return report


SAID = {
    "patient": "an event of a patient",
    "appointment": "an event of an appointment",
    "note": "an event of a note",
    "listed": "a list of one patient",
    "tick": "a sync with nothing due",
    "lists": "a sync with all kinds due",
    "filled": "a record of the backfill",
    "passed": "a record of a pass",
    "children": "a record of a daily pass",
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small clinic")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    measure(quick=arguments.quick).show(arguments.json)
