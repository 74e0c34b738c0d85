"""The limit on absences counts what is absent now, what waits for its single read, and what was marked lately."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import datetime, timedelta, timezone

import pytest

from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.drchrono.lag import Evidence
from shared.errors import DeletionsHeld, LookAgain
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


@pytest.mark.parametrize(
    ("reason", "others", "is_held"),
    [("absent", 24, False), ("absent", 25, True), ("review", 24, False), ("review", 25, True)],
)
def test_a_record_whose_own_entry_waits_is_counted_once(copy: Copy, reason: str, others: int, is_held: bool) -> None:
    """Two reads did not find it. Its entry counts already if it waits as absent."""
    copy.wait(0, 1, reason)
    copy.wait(1, others)
    first, began = NOON - timedelta(minutes=5), NOON + timedelta(minutes=1)
    with pytest.raises(DeletionsHeld) if is_held else nullcontext():
        copy.absences.allow(PATIENTS, "0", first, began, lambda key: True, living=True)
    assert held(copy) is is_held


@pytest.mark.parametrize(("first", "began"), [(None, 60), (0, 60), (-300, 30.999)])
def test_one_read_is_not_enough_nor_a_second_that_may_lag(copy: Copy, first: float | None, began: float) -> None:
    """The second must have been sent late enough after the first, and after another record was shown."""
    earlier = None if first is None else NOON + timedelta(seconds=first)
    at = NOON + timedelta(seconds=began)
    with pytest.raises(LookAgain) as again:
        copy.absences.allow(PATIENTS, "0", earlier, at, lambda key: True, living=True)
    assert again.value.absent_since == (NOON if first is None else earlier)


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


def mark(copy: Copy, key: str, ago: timedelta, reason: str = "absent") -> None:
    records = Records(copy.documents, lambda: NOON - ago)
    records.mark_deleted(PATIENTS, key, NOON, Source("pending"), reason, stated=reason == "deleted_flag")


def read_again(copy: Copy, now: datetime = NOON) -> set[str]:
    """Return what is read again because a record that was marked as deleted is shown."""
    copy.queue.complete_listed("patients", dict.fromkeys(copy.queue.keys_of("patients"), Evidence(now)))
    Absences(copy.documents, copy.records, copy.queue, lambda: now).found(PATIENTS, returned=True)
    return copy.queue.keys_of("patients")


def test_when_a_record_returns_the_absent_ones_of_thirty_days_are_read_again(copy: Copy) -> None:
    mark(copy, "1", timedelta(days=30))
    mark(copy, "2", timedelta(days=30, microseconds=1))
    mark(copy, "3", timedelta(0))
    mark(copy, "4", timedelta(0), "deleted_flag")
    assert read_again(copy) == {"1", "3"}


def test_they_are_read_again_at_most_once_an_hour(copy: Copy) -> None:
    mark(copy, "1", timedelta(0))
    assert read_again(copy) == {"1"}
    assert read_again(copy, NOON + timedelta(minutes=59, seconds=59)) == set()
    assert read_again(copy, NOON + timedelta(hours=1)) == {"1"}


def test_a_record_that_was_not_marked_yet_returns_without_a_review(copy: Copy) -> None:
    mark(copy, "1", timedelta(0))
    copy.absences.found(PATIENTS, returned=False)
    assert copy.queue.keys_of("patients") == set()
