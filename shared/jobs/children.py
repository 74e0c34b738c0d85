"""Medications, problems and allergies have no list of changes: they are looked at when their patient is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from shared.drchrono.kinds import KINDS, Kind, patient_of
from shared.drchrono.lag import listed_until, provable_from, shown_until
from shared.drchrono.records import Page
from shared.jobs.run import Parts
from shared.queue.entries import Entry, Priority, Target


def follow(parts: Parts, kind: Kind, page: Page) -> None:
    """Mark the lists of patients with whom something changed on this page, before it is stored."""
    if kind.children:
        new = parts.records.news(kind, page.records, page.began)
        patients = {patient for record in new if (patient := patient_of(kind, record))}
        due = provable_from(page.began)
        parts.queue.enqueue(
            Entry(target, "follows", Priority.CHILDREN, page.began, page.began, due) for target in _lists(patients)
        )


def lists_of(patients: Iterable[str], now: datetime) -> list[Entry]:
    """The lists of these patients' medications, problems and allergies, to be asked for though no change is known."""
    seen = shown_until(now)
    return [Entry(target, "backfill", Priority.BACKFILL, seen, seen, due=now) for target in _lists(patients)]


def asked_for_all(parts: Parts, began: datetime) -> None:
    """The lists of all patients have been put in the queue between `began` and now."""
    now = parts.now()
    for name in KINDS["patients"].children:
        parts.checkpoints.change(
            name, lambda old: replace(old, complete_at=listed_until(began), filled_at=now, reconciled_at=began)
        )


def _lists(patients: Iterable[str]) -> list[Target]:
    return [Target(child, patient, "patient") for patient in patients for child in KINDS["patients"].children]
