"""Medications, problems and allergies have no list of changes: a patient's lists are read when the patient changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from shared.drchrono.kinds import Kind, patient_of
from shared.drchrono.lag import listed_until, provable_from, shown_until
from shared.drchrono.records import Page
from shared.jobs.run import Parts
from shared.queue.entries import Entry, Priority, Target
from shared.records.prepared import Workbench


def follow(parts: Parts, kind: Kind, page: Page, bench: Workbench) -> None:
    """Queue the lists of each patient of whom this page shows a change. Call it before the page is stored."""
    if kind.children:
        new = parts.records.pages.changed(kind, page.records, page.began, bench)
        patients = {patient for record in new if (patient := patient_of(kind, record))}
        due = provable_from(page.began)
        targets = _lists(patients, kind.children)
        parts.queue.enqueue(
            Entry(target, "follows", Priority.CHILDREN, page.began, page.began, due) for target in targets
        )


def lists_of(patients: Iterable[str], now: datetime, kinds: Iterable[str]) -> list[Entry]:
    """Return entries for the lists of these patients, of whom no change is known. kinds: names of the lists' kinds."""
    seen = shown_until(now)
    return [Entry(target, "backfill", Priority.BACKFILL, seen, seen, due=now) for target in _lists(patients, kinds)]


def asked_for_all(parts: Parts, kinds: Iterable[str], began: datetime) -> None:
    """Record in the checkpoints that the lists of all patients were queued between `began` and now."""
    now = parts.now()
    for name in kinds:
        parts.checkpoints.change(
            name, lambda old: replace(old, complete_at=listed_until(began), filled_at=now, reconciled_at=began)
        )


def _lists(patients: Iterable[str], kinds: Iterable[str]) -> list[Target]:
    return [Target(child, patient, "patient") for patient in patients for child in kinds]
