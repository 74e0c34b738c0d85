"""The limit on absences counts what is absent now, what waits for its single read, and what was marked lately."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.errors import DeletionsHeld
from shared.queue.entries import Entry, Priority, Target
from shared.queue.work_queue import WorkQueue
from shared.records.absence import Absences
from shared.records.deletion_limit import minute_of
from shared.records.store import Records, Source

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
PATIENTS = KINDS["patients"]


class Copy:
    """A copy of a hundred patients."""

    def __init__(self, documents: Documents) -> None:
        self.documents = documents
        self.records, self.queue = Records(documents, lambda: NOON), WorkQueue(documents, lambda: NOON)
        self.absences = Absences(documents, self.records, self.queue, lambda: NOON)
        made = [{"id": number} for number in range(100)]
        self.records.pages.store(PATIENTS, made, NOON - timedelta(days=1), Source("backfill"))

    def marked(self, count: int, ago: timedelta) -> None:
        state = {"recent": {minute_of(NOON - ago): count}}
        self.documents.transact(lambda transaction: transaction.set("sync_state/deletions-patients", state))

    def wait(self, first: int, count: int, reason: str = "absent") -> None:
        self.queue.enqueue(
            Entry(Target("patients", str(number)), reason, Priority.CHILDREN, NOON, NOON, NOON)
            for number in range(first, first + count)
        )

    def notice(self, first: int, count: int) -> None:
        self.absences.notice(PATIENTS, [str(number) for number in range(first, first + count)], NOON)


@pytest.fixture
def copy(embedded: Documents) -> Copy:
    return Copy(embedded)


def held(copy: Copy) -> bool:
    return copy.absences.held_since(PATIENTS) is not None


def test_the_limit_is_kept_and_one_more_is_held_with_nothing_queued(copy: Copy) -> None:
    with pytest.raises(DeletionsHeld):
        copy.notice(0, 26)
    assert held(copy)
    assert copy.queue.waiting() == 0


def test_what_is_within_the_limit_is_looked_at_singly(copy: Copy) -> None:
    copy.notice(0, 25)
    assert not held(copy)
    assert copy.queue.count_absent("patients") == 25
    copy.notice(0, 25)  # the same again: they are counted once


@pytest.mark.parametrize("reason", ["absent", "deletions_held"])
def test_what_waits_for_its_single_read_counts(copy: Copy, reason: str) -> None:
    copy.wait(50, 20, reason)
    copy.notice(0, 5)
    with pytest.raises(DeletionsHeld):
        copy.notice(5, 1)


def test_what_waits_for_another_reason_does_not_count(copy: Copy) -> None:
    copy.wait(50, 30, "quota")
    copy.notice(0, 25)
    assert not held(copy)


def test_what_was_marked_within_the_hour_counts(copy: Copy) -> None:
    copy.marked(20, timedelta(minutes=59))
    copy.notice(0, 5)
    with pytest.raises(DeletionsHeld):
        copy.notice(5, 1)


def test_what_was_marked_before_does_not_count(copy: Copy) -> None:
    copy.marked(20, timedelta(minutes=61))
    copy.notice(0, 25)
    assert not held(copy)


def test_a_person_who_accepts_lifts_the_limit_for_a_day(copy: Copy) -> None:
    with pytest.raises(DeletionsHeld):
        copy.notice(0, 60)
    copy.absences.accept(PATIENTS)
    copy.notice(0, 60)
    assert copy.queue.count_absent("patients") == 60
    assert not held(copy)
    later = Absences(copy.documents, copy.records, copy.queue, lambda: NOON + timedelta(hours=24))
    with pytest.raises(DeletionsHeld):
        later.notice(PATIENTS, [str(number) for number in range(60, 86)], NOON)


def test_what_single_reads_mark_counts(copy: Copy) -> None:
    """Each of them alone, as events announce them: no list shows how many are gone."""
    first, began = NOON - timedelta(minutes=5), NOON + timedelta(minutes=1)

    def allow(number: int) -> None:
        copy.absences.allow(PATIENTS, str(number), first, began, lambda key: True, living=True)

    for number in range(25):
        allow(number)
    with pytest.raises(DeletionsHeld):
        allow(25)
    assert held(copy)
