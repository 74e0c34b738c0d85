"""Targets that may have changed together with a record are queued, each once and without a cycle."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from shared.drchrono.kinds import KINDS
from shared.drchrono.lag import provable_from
from shared.queue.entries import Priority
from shared.records.marks import marks

SEEN = datetime(2026, 3, 10, 15, tzinfo=timezone.utc)
NOW = SEEN + timedelta(seconds=1)


def keys(kind: str, record: dict[str, Any]) -> set[str]:
    return {entry.target.key for entry in marks(KINDS[kind], record, SEEN, NOW)}


def test_a_patient_queues_its_three_lists() -> None:
    assert keys("patients", {"id": 5}) == {"medications:patient:5", "problems:patient:5", "allergies:patient:5"}


def test_a_live_note_queues_its_appointment_which_alone_shows_the_lock() -> None:
    lists = {"medications:patient:5", "problems:patient:5", "allergies:patient:5"}
    assert keys("clinical_notes", {"appointment": "77", "patient": "5"}) == {"appointments:77"} | lists
    assert keys("clinical_notes", {"id": 3, "appointment": 77, "patient": 5, "locked": True}) == lists


@pytest.mark.parametrize("kind", ["medications", "problems", "allergies"])
def test_a_medication_problem_or_allergy_queues_nothing(kind: str) -> None:
    assert keys(kind, {"id": 9, "patient": 5}) == set()


def test_entries_that_follow_a_record_wait_behind_events() -> None:
    (entry, *_) = marks(KINDS["patients"], {"id": 5}, SEEN, NOW)
    assert (entry.priority, entry.reason, entry.last_seen, entry.due) == (
        Priority.CHILDREN,
        "follows",
        SEEN,
        provable_from(SEEN),
    )
