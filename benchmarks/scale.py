"""Measure what a practice costs by size: requests, Firestore operations and money a day.

The cost of one event, one list and one sync is measured here, on the simulator and a store that counts. How often they
occur is arithmetic: `benchmarks.practice_costs`, which states its assumptions.

    python -m benchmarks.scale [--quick] [--json FILE]
"""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable
from dataclasses import fields
from datetime import date
from functools import partial
from pathlib import Path

from benchmarks.counted_store import Counted
from benchmarks.practice_costs import KIB_OF_A_PATIENT, Cost, Practice, Prices, Units, day, first_filling, month
from benchmarks.report import Report, Row, Want, program
from functions.store_record import handle
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

SIZES = (1_000, 10_000, 100_000, 1_000_000)


class Meter:
    """Measures what an action costs, in a clinic whose patients have two visits and two records in each list."""

    def __init__(self, running: Simulator, folder: Path) -> None:
        self.bill = Counted(EmbeddedDocuments(folder / "documents.sqlite3"))
        self.clinic = Clinic(running, self.bill)

    def of(self, action: Callable[[], object]) -> Cost:
        bill, clinic = self.bill, self.clinic
        before = (clinic.requests(), bill.reads, bill.writes, bill.deletes)
        action()
        after = (clinic.requests(), bill.reads, bill.writes, bill.deletes)
        return Cost(*(one - other for one, other in zip(after, before, strict=True)))

    def event(self, name: str, kind: str, times: int) -> Cost:
        """Return the mean cost of one event for a record that has just changed, without the lists that it marks."""
        clinic, total = self.clinic, Cost()
        for key in sorted(clinic.simulator.truth(kind))[:times]:
            clinic.simulator.change(kind, key, webhook=False)
            clinic.later(minutes=1)
            data = base64.b64encode(encode(Change(name, kind, key, "delivery", clinic.now()))).decode()
            total += self.of(partial(handle, {"message": {"data": data}}, clinic.store()))
        return total * (1 / times)


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
        for _ in range(2):  # the second run computes the instants of appointments that were stored before their doctors
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
            # Only the store's part: requests are counted by the page, in `practice_costs`.
            filled=Cost(0, filled.reads, filled.writes, filled.deletes) * (1 / records),
            passed=Cost(0, passed.reads, passed.writes, passed.deletes) * (1 / records),
            children=Cost(0, children.reads, children.writes, children.deletes) * (1 / kept),
        )


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
    program(measure, __doc__, quick="a small clinic")
