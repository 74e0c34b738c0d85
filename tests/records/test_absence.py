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
from shared.records.ordering import Copy as RecordCopy
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


@pytest.mark.parametrize(
    ("copied", "announced", "seconds"),
    [
        # As if read an hour ago, and as if read just now.
        (-3600, False, 31),
        (10, False, 41),
        (None, False, 31),
        # An announced deletion is later than the event; only a copy that was read since can speak against it.
        (-3600, True, -3569),
        (10, True, 41),
        (None, True, 0),
    ],
)
def test_an_absence_is_believable_once_no_answer_can_be_older_than_what_is_known(
    copy: Copy, copied: float | None, announced: bool, seconds: float
) -> None:
    def at(seconds: float) -> datetime:
        return NOON + timedelta(seconds=seconds)

    def known(deleted: bool) -> RecordCopy | None:
        return None if copied is None else RecordCopy(at(copied), at(copied), "a", None, deleted=deleted)

    assert copy.absences.believable_from(known(deleted=False), NOON, announced=announced) == at(seconds)
    # A tombstone does not show the record.
    gone = NOON if announced else at(31)
    assert copy.absences.believable_from(known(deleted=True), NOON, announced=announced) == gone


def test_a_kind_is_shown_if_one_of_three_others_is_or_there_is_no_other(copy: Copy) -> None:
    asked: list[str] = []

    def is_shown(key: str) -> bool:
        asked.append(key)
        return len(asked) == 3

    assert copy.absences.is_kind_shown(PATIENTS, "50", is_shown)
    assert len(set(asked) - {"50"}) == 3
    assert not copy.absences.is_kind_shown(PATIENTS, "50", lambda key: False)
    assert copy.absences.is_kind_shown(KINDS["problems"], "1", lambda key: False)


def test_others_that_wait_themselves_are_asked_for_only_where_there_are_no_more(copy: Copy) -> None:
    asked: set[str] = set()

    def hidden(key: str) -> bool:
        asked.add(key)
        return False

    copy.wait(0, 97, "quota")
    copy.absences.is_kind_shown(PATIENTS, "50", hidden)
    assert asked == {"97", "98", "99"}
    copy.wait(97, 3, "quota")
    asked.clear()
    assert not copy.absences.is_kind_shown(PATIENTS, "50", hidden)
    assert len(asked - {"50"}) == 3


def test_another_record_has_to_be_shown_late_enough_and_then_the_read_repeated(copy: Copy) -> None:
    asked: list[str] = []

    def is_shown(key: str) -> bool:
        asked.append(key)
        return True

    def allow(first: float, began: float) -> datetime | None:
        """Return when to look again, None if the record may be marked."""
        try:
            copy.absences.allow(PATIENTS, "50", at(first), at(began), is_shown, living=False)
        except LookAgain as again:
            return again.due
        return None

    def at(seconds: float) -> datetime:
        return NOON + timedelta(seconds=seconds)

    # The other record must be asked for 31 s after the first read: it is noon, and that is a moment away.
    assert allow(-30.999, 3600) is None
    assert asked == []
    # From now on it may: then the record is read again, late enough after that.
    assert allow(-31, 30.999) == at(31)
    assert len(asked) == 1
    assert allow(-31, 31) is None
    assert len(asked) == 1  # what was shown at noon is known
    assert allow(-30.999, 3600) is None
    assert len(asked) == 1


def test_a_hold_ends_with_a_deletion_that_is_allowed(copy: Copy) -> None:
    with pytest.raises(DeletionsHeld):
        copy.notice(0, 60)
    assert held(copy)
    began = NOON + timedelta(minutes=1)
    copy.absences.allow(PATIENTS, "0", NOON - timedelta(minutes=5), began, lambda key: True, living=True)
    assert not held(copy)


def test_what_was_marked_within_the_hour_belongs_to_what_the_copy_had(copy: Copy) -> None:
    """Of ten problems, of which one was marked already, five may be absent and six may not."""
    problems = KINDS["problems"]
    copy.records.pages.store(problems, [{"id": n} for n in range(9)], NOON - timedelta(days=1), Source("backfill"))
    state = {"recent": {minute_of(NOON): 1}}
    copy.documents.transact(lambda transaction: transaction.set("sync_state/deletions-problems", state))
    copy.absences.notice(problems, ["0", "1", "2", "3"], NOON)
    with pytest.raises(DeletionsHeld):
        copy.absences.notice(problems, ["4"], NOON)
