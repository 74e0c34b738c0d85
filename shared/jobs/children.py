"""Medications, problems and allergies have no list of changes: they are looked at when their patient is."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from shared.drchrono.kinds import KINDS, Kind, patient_of
from shared.drchrono.records import Page
from shared.jobs.run import Parts
from shared.queue.entries import Entry, Priority, Target


def follow(parts: Parts, kind: Kind, page: Page) -> None:
    """Mark the lists of patients with whom something changed on this page, before it is stored."""
    if kind.children:
        new = parts.records.news(kind, page.records, page.began)
        patients = {patient for record in new if (patient := patient_of(kind, record))}
        parts.queue.enqueue(lists_of(patients, page.began, "follows", Priority.CHILDREN))


def lists_of(
    patients: Iterable[str], seen: datetime, reason: str = "backfill", priority: Priority = Priority.BACKFILL
) -> list[Entry]:
    """The lists of medications, problems and allergies of these patients."""
    return [
        Entry(Target(child, patient, "patient"), reason, priority, seen, seen, due=seen)
        for patient in patients
        for child in KINDS["patients"].children
    ]
