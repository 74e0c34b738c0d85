"""The pending list: what is on it stays until it is done, and one worker has it at a time."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone

import pytest

from shared.documents import Documents
from shared.pending import MOST_DELIVERIES, Entry, Priority, Target
from shared.state.pending import LEASE, Pending

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
SECOND = timedelta(seconds=1)


@pytest.fixture
def pending(documents: Documents) -> Pending:
    return Pending(documents)


def entry(
    key: str = "1",
    *,
    kind: str = "patients",
    by: str = "id",
    reason: str = "quota",
    priority: Priority = Priority.EVENT,
    seen: datetime = NOON,
    due: datetime = NOON,
    delivery: str = "d1",
    updated_at: str | None = None,
) -> Entry:
    return Entry(
        Target(kind, key, by), reason, priority, seen, seen, due, updated_at=updated_at, deliveries=(delivery,)
    )


def ids(entries: list[Entry]) -> list[str]:
    return [entry.target.id for entry in entries]


def test_events_of_one_record_fold_into_one_entry(pending: Pending) -> None:
    pending.fold([entry(delivery="d1", updated_at="2026-03-01T07:00:00", due=NOON + 9 * SECOND)])
    pending.fold([entry(delivery="d2", seen=NOON - SECOND, updated_at="2026-03-01T06:00:00"), entry(delivery="d1")])
    pending.fold([entry(priority=Priority.CHILDREN, reason="follows", seen=NOON + SECOND)])
    folded = pending.get(Target("patients", "1"))
    assert folded is not None
    assert (folded.first_seen, folded.last_seen, folded.due) == (NOON - SECOND, NOON + SECOND, NOON)
    assert (folded.priority, folded.reason, folded.updated_at) == (Priority.EVENT, "follows", "2026-03-01T07:00:00")
    assert folded.deliveries == ("d1", "d2")
    assert pending.waiting() == 1


def test_the_list_of_deliveries_is_bounded(pending: Pending) -> None:
    for number in range(50):
        pending.fold([entry(delivery=f"d{number}")])
    folded = pending.get(Target("patients", "1"))
    assert folded is not None
    assert folded.deliveries == tuple(f"d{number}" for number in range(50 - MOST_DELIVERIES, 50))


def test_lists_of_a_patient_and_records_with_the_same_number_are_different_targets(pending: Pending) -> None:
    pending.fold([entry("7", kind="medications"), entry("7", kind="medications", by="patient")])
    assert pending.waiting() == 2


def test_claims_come_by_priority_then_by_age_and_only_when_due(pending: Pending) -> None:
    pending.fold(
        [
            entry("child", priority=Priority.CHILDREN, due=NOON - 60 * SECOND),
            entry("young", due=NOON - SECOND),
            entry("old", due=NOON - 30 * SECOND),
            entry("later", due=NOON + SECOND),
            entry("backfill", priority=Priority.BACKFILL),
        ]
    )
    assert ids(pending.claim(NOON, 10, Priority.CHILDREN)) == ["old", "young", "child"]
    assert ids(pending.claim(NOON, 10, Priority.BACKFILL)) == ["backfill"]


def test_a_claim_takes_no_more_than_it_asked_for(pending: Pending) -> None:
    pending.fold([entry(str(number)) for number in range(5)])
    assert len(pending.claim(NOON, 3, Priority.EVENT)) == 3
    assert len(pending.claim(NOON, 3, Priority.EVENT)) == 2


def test_two_workers_never_have_the_same_entry(pending: Pending) -> None:
    pending.fold([entry(str(number)) for number in range(30)])
    claimed: list[str] = []

    def work() -> None:
        while got := pending.claim(NOON, 4, Priority.EVENT):
            claimed.extend(ids(got))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed, key=int) == [str(number) for number in range(30)]


def test_a_dead_workers_entry_comes_free_when_its_lease_ends(pending: Pending) -> None:
    pending.fold([entry()])
    assert ids(pending.claim(NOON, 1, Priority.EVENT)) == ["1"]
    assert pending.claim(NOON + LEASE - SECOND, 1, Priority.EVENT) == []
    assert ids(pending.claim(NOON + LEASE, 1, Priority.EVENT)) == ["1"]


def test_an_event_that_comes_during_the_work_keeps_the_entry_and_leaves_the_lease(pending: Pending) -> None:
    pending.fold([entry()])
    (claimed,) = pending.claim(NOON, 1, Priority.EVENT)
    pending.fold([entry(seen=NOON + SECOND, due=NOON + SECOND)])
    assert pending.claim(NOON + 5 * SECOND, 1, Priority.EVENT) == []
    assert pending.settle(claimed.target, claimed.last_seen) is False
    assert ids(pending.claim(NOON + 5 * SECOND, 1, Priority.EVENT)) == ["1"]


def test_a_settled_entry_is_gone_and_settling_it_again_is_no_error(pending: Pending) -> None:
    pending.fold([entry()])
    (claimed,) = pending.claim(NOON, 1, Priority.EVENT)
    assert pending.settle(claimed.target, claimed.last_seen) is True
    assert pending.settle(claimed.target, claimed.last_seen) is True
    assert pending.waiting() == 0


def test_a_failed_attempt_is_put_off_and_counted(pending: Pending) -> None:
    pending.fold([entry()])
    (claimed,) = pending.claim(NOON, 1, Priority.EVENT)
    pending.postpone(claimed, "server_error", NOON + 60 * SECOND)
    assert pending.claim(NOON + 59 * SECOND, 1, Priority.EVENT) == []
    (again,) = pending.claim(NOON + 60 * SECOND, 1, Priority.EVENT)
    assert (again.attempts, again.reason) == (1, "server_error")


def test_an_event_that_comes_during_a_failed_attempt_makes_it_due_at_once(pending: Pending) -> None:
    pending.fold([entry()])
    (claimed,) = pending.claim(NOON, 1, Priority.EVENT)
    pending.fold([entry(seen=NOON + SECOND)])
    pending.postpone(claimed, "forbidden", NOON + timedelta(days=1))
    assert ids(pending.claim(NOON + 2 * SECOND, 1, Priority.EVENT)) == ["1"]


def test_released_entries_are_due_at_once(pending: Pending) -> None:
    pending.fold([entry("1"), entry("2")])
    pending.release(pending.claim(NOON, 2, Priority.EVENT), NOON)
    assert len(pending.claim(NOON, 2, Priority.EVENT)) == 2


def test_a_list_strikes_what_it_showed_unless_a_newer_event_came(pending: Pending) -> None:
    pending.fold([entry("1"), entry("2", seen=NOON + 9 * SECOND), entry("3"), entry("1", kind="appointments")])
    assert pending.strike("patients", ["1", "2", "4"], NOON + SECOND) == 1
    assert pending.keys_of("patients") == {"2", "3"}
    assert pending.count("appointments") == 1


def test_retry_makes_due_what_was_put_off_for_that_reason(pending: Pending) -> None:
    far = NOON + timedelta(days=1)
    pending.fold([entry("1", reason="forbidden", due=far), entry("2", reason="too_large", due=far), entry("3")])
    assert pending.make_due(NOON, reason="forbidden") == 1
    assert sorted(ids(pending.claim(NOON, 9, Priority.EVENT))) == ["1", "3"]
    assert pending.make_due(NOON, kind="patients") == 3


def test_the_backlog_counts_by_reason_with_the_oldest(pending: Pending) -> None:
    pending.fold([entry("1"), entry("2", seen=NOON - SECOND), entry("3", reason="forbidden")])
    rows = [(row.reason, row.count, row.oldest) for row in pending.backlog()]
    assert rows == [("quota", 2, NOON - SECOND), ("forbidden", 1, NOON)]
