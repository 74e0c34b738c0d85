"""The work queue: an entry stays until it is proved done, and one worker holds it at a time."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from benchmarks.counted_store import Counted
from shared.documents import Documents
from shared.drchrono.lag import VERSION_LAG, Evidence, provable_from
from shared.queue.entries import BEHIND_RETRY, MOST_DELIVERIES, Entry, Priority, Target
from shared.queue.work_queue import CHUNK_ENTRIES, LEASE, Pending, WorkQueue

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
SECOND = timedelta(seconds=1)


@pytest.fixture
def queue(documents: Documents) -> WorkQueue:
    return WorkQueue(documents, lambda: NOON + 5 * SECOND)


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


def test_new_entries_cost_no_read_and_an_existing_one_is_merged(
    documents: Documents,
) -> None:
    bill = Counted(documents)
    counted = WorkQueue(bill, lambda: NOON)
    counted.enqueue([entry("1", delivery="d1"), entry("2")])
    assert (bill.reads, bill.writes) == (0, 2)
    counted.enqueue([entry("1", delivery="d2"), entry("3")])
    found = [counted.get(Target("patients", key)) for key in ("1", "2", "3")]
    assert [one.deliveries for one in found if one] == [("d1", "d2"), ("d1",), ("d1",)]


def test_many_entries_are_written_in_chunks(queue: WorkQueue) -> None:
    queue.enqueue(entry(str(number)) for number in range(2 * CHUNK_ENTRIES + 1))
    queue.enqueue(entry(str(number)) for number in range(2 * CHUNK_ENTRIES + 2))
    assert queue.waiting() == 2 * CHUNK_ENTRIES + 2


def test_events_of_one_record_merge_into_one_entry(queue: WorkQueue) -> None:
    queue.enqueue([entry(delivery="d1", updated_at="2026-03-01T07:00:00", due=NOON + 9 * SECOND)])
    queue.enqueue([entry(delivery="d2", seen=NOON - SECOND, updated_at="2026-03-01T06:00:00"), entry(delivery="d1")])
    queue.enqueue([entry(priority=Priority.CHILDREN, reason="follows", seen=NOON + SECOND)])
    folded = queue.get(Target("patients", "1"))
    assert folded is not None
    assert (folded.first_seen, folded.last_seen, folded.due) == (NOON - SECOND, NOON + SECOND, NOON)
    assert (folded.priority, folded.reason, folded.updated_at) == (Priority.EVENT, "follows", "2026-03-01T07:00:00")
    assert folded.deliveries == ("d1", "d2")
    assert queue.waiting() == 1


def test_the_list_of_deliveries_is_bounded(queue: WorkQueue) -> None:
    for number in range(50):
        queue.enqueue([entry(delivery=f"d{number}")])
    folded = queue.get(Target("patients", "1"))
    assert folded is not None
    assert folded.deliveries == tuple(f"d{number}" for number in range(50 - MOST_DELIVERIES, 50))


def test_lists_of_a_patient_and_records_with_the_same_number_are_different_targets(queue: WorkQueue) -> None:
    queue.enqueue([entry("7", kind="medications"), entry("7", kind="medications", by="patient")])
    assert queue.waiting() == 2


def test_entries_are_claimed_by_priority_then_age_and_only_when_due(queue: WorkQueue) -> None:
    queue.enqueue(
        [
            entry("child", priority=Priority.CHILDREN, due=NOON - 60 * SECOND),
            entry("young", due=NOON - SECOND),
            entry("old", due=NOON - 30 * SECOND),
            entry("later", due=NOON + SECOND),
            entry("backfill", priority=Priority.BACKFILL),
        ]
    )
    assert ids(queue.claim(NOON, 10, Priority.CHILDREN)) == ["old", "young", "child"]
    assert ids(queue.claim(NOON, 10, Priority.BACKFILL)) == ["backfill"]


def test_a_claim_returns_at_most_the_requested_number(queue: WorkQueue) -> None:
    queue.enqueue([entry(str(number)) for number in range(5)])
    assert len(queue.claim(NOON, 3, Priority.EVENT)) == 3
    assert len(queue.claim(NOON, 3, Priority.EVENT)) == 2


def test_a_claim_over_several_priorities_returns_no_more_either(queue: WorkQueue) -> None:
    queue.enqueue([entry("first"), entry("second")])
    queue.enqueue([entry(str(number), priority=Priority.CHILDREN) for number in range(5)])
    claimed = queue.claim(NOON, 4, Priority.BACKFILL)
    assert ids(claimed)[:2] == ["first", "second"]
    assert len(claimed) == 4


def test_two_workers_never_claim_the_same_entry(queue: WorkQueue) -> None:
    queue.enqueue([entry(str(number)) for number in range(30)])
    claimed: list[str] = []

    def work() -> None:
        while got := queue.claim(NOON, 4, Priority.EVENT):
            claimed.extend(ids(got))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed, key=int) == [str(number) for number in range(30)]


def test_a_crashed_workers_entry_is_due_when_its_lease_ends(queue: WorkQueue) -> None:
    queue.enqueue([entry()])
    assert ids(queue.claim(NOON, 1, Priority.EVENT)) == ["1"]
    assert queue.claim(NOON + LEASE - SECOND, 1, Priority.EVENT) == []
    assert ids(queue.claim(NOON + LEASE, 1, Priority.EVENT)) == ["1"]


def test_an_event_during_the_work_keeps_the_entry_and_its_lease(queue: WorkQueue) -> None:
    queue.enqueue([entry()])
    (claimed,) = queue.claim(NOON, 1, Priority.EVENT)
    queue.enqueue([entry(seen=NOON + SECOND, due=NOON + SECOND)])
    assert queue.claim(NOON + 5 * SECOND, 1, Priority.EVENT) == []
    assert queue.complete(claimed.target, Evidence(claimed.last_seen)) is False
    # It is due when an answer shows all that happened until then.
    assert queue.claim(provable_from(NOON), 1, Priority.EVENT) == []
    assert ids(queue.claim(provable_from(NOON + SECOND), 1, Priority.EVENT)) == ["1"]


def test_a_completed_entry_is_gone_and_completing_it_again_is_no_error(queue: WorkQueue) -> None:
    queue.enqueue([entry()])
    (claimed,) = queue.claim(NOON, 1, Priority.EVENT)
    assert queue.complete(claimed.target, Evidence(claimed.last_seen)) is True
    assert queue.complete(claimed.target, Evidence(claimed.last_seen)) is True
    assert queue.waiting() == 0


def test_a_failed_attempt_is_postponed_and_counted(queue: WorkQueue) -> None:
    queue.enqueue([entry()])
    (claimed,) = queue.claim(NOON, 1, Priority.EVENT)
    queue.retry(claimed, "server_error", NOON + 60 * SECOND, priority=Priority.RETRY)
    assert queue.claim(NOON + 60 * SECOND, 1, Priority.BACKFILL) == []
    assert queue.claim(NOON + 59 * SECOND, 1, Priority.RETRY, Priority.RETRY) == []
    (again,) = queue.claim(NOON + 60 * SECOND, 1, Priority.RETRY, Priority.RETRY)
    assert (again.attempts, again.reason) == (1, "server_error")


def test_an_event_that_comes_during_a_failed_attempt_makes_it_due_at_once(queue: WorkQueue) -> None:
    queue.enqueue([entry()])
    (claimed,) = queue.claim(NOON, 1, Priority.EVENT)
    queue.enqueue([entry(seen=NOON + SECOND)])
    queue.retry(claimed, "forbidden", NOON + timedelta(days=1), priority=Priority.RETRY)
    assert ids(queue.claim(NOON + 2 * SECOND, 1, Priority.EVENT)) == ["1"]


def test_an_attempt_that_does_not_count_leaves_the_number_and_an_event_that_was_known_changes_nothing(
    queue: WorkQueue,
) -> None:
    queue.enqueue([entry()])
    (claimed,) = queue.claim(NOON, 1, Priority.EVENT)
    queue.enqueue([entry(delivery="d2")])
    due = NOON + 60 * SECOND
    queue.retry(claimed, "absent", due, priority=Priority.RETRY, failed=False, absent_since=NOON + SECOND)
    assert queue.get(claimed.target) == replace(
        claimed,
        reason="absent",
        priority=Priority.RETRY,
        due=due,
        deliveries=("d1", "d2"),
        absent_since=NOON + SECOND,
        lease_until=None,
    )


def test_an_attempt_at_an_entry_that_is_gone_brings_nothing_back(queue: WorkQueue) -> None:
    queue.retry(entry(), "server_error", NOON, priority=Priority.RETRY)
    assert queue.waiting() == 0


def test_released_entries_are_due_at_once(queue: WorkQueue) -> None:
    queue.enqueue([entry("1"), entry("2")])
    queue.release(queue.claim(NOON, 2, Priority.EVENT), NOON)
    assert len(queue.claim(NOON, 2, Priority.EVENT)) == 2


def test_a_list_completes_the_entries_it_showed_unless_a_newer_event_came(queue: WorkQueue) -> None:
    queue.enqueue([entry("1"), entry("2", seen=NOON + 9 * SECOND), entry("3"), entry("1", kind="appointments")])
    assert queue.complete_listed("patients", {key: Evidence(NOON + SECOND) for key in ("1", "2", "4")}) == 1
    assert queue.keys_of("patients") == {"2", "3"}
    assert queue.count("appointments") == 1


def test_a_list_of_the_practice_completes_lists_of_patients_and_no_record(queue: WorkQueue) -> None:
    for kind in ("medications", "problems"):
        queue.enqueue([entry("1", kind=kind), entry("1", kind=kind, by="patient")])
    queue.enqueue([entry("2", kind="medications", by="patient", seen=NOON + SECOND)])
    proved = queue.proved_lists("medications", Evidence(NOON))
    assert proved == [Target("medications", "1", "patient")]
    assert queue.complete_all(dict.fromkeys([*proved, Target("medications", "2", "patient")], Evidence(NOON))) == 1
    assert queue.get(Target("medications", "1", "patient")) is None
    assert queue.waiting() == 4


def test_an_entry_that_is_not_proved_waits_until_an_answer_can_prove_it(queue: WorkQueue) -> None:
    queue.enqueue([entry("1", updated_at="2026-03-01T07:00:00"), entry("2", updated_at="2026-03-01T07:00:00")])
    # The answer is from before the event.
    early = Evidence(NOON - SECOND, "2026-03-01T07:00:00")
    assert queue.complete(Target("patients", "1"), early) is False
    # The answer could show the event, and shows an older version: DrChrono is behind.
    behind = Evidence(NOON, "2026-03-01T06:59:59")
    assert queue.complete(Target("patients", "2"), behind) is False
    found = [queue.get(Target("patients", key)) for key in ("1", "2")]
    assert [(one.reason, one.due) for one in found if one] == [
        ("lag", provable_from(NOON)),
        ("lag", NOON + 5 * SECOND + BEHIND_RETRY),
    ]


def test_what_waits_for_a_kind_says_how_much_since_when_and_whether_it_can_ever_be_stored(queue: WorkQueue) -> None:
    assert queue.pending("patients") == Pending(0, None, unstorable=False)
    queue.enqueue([entry("1", seen=NOON), entry("2", seen=NOON - SECOND)])
    queue.enqueue([entry("3", kind="problems", by="patient", seen=NOON - 9 * SECOND)])
    assert queue.pending("patients") == Pending(2, NOON - SECOND, unstorable=False)
    queue.enqueue([replace(entry("4"), unstorable=True)])
    assert queue.pending("patients") == Pending(3, NOON - SECOND, unstorable=True)


def test_only_records_that_a_single_read_decides_about_count_as_absent(queue: WorkQueue) -> None:
    queue.enqueue([entry("1", reason="absent"), entry("2", reason="deletions_held"), entry("3", reason="not_found")])
    queue.enqueue([entry("1", kind="problems", reason="absent"), entry("4", by="patient", reason="absent")])
    assert queue.count_absent("patients") == 2


def test_entries_can_be_made_due_by_reason(queue: WorkQueue) -> None:
    far = NOON + timedelta(days=1)
    queue.enqueue([entry("1", reason="forbidden", due=far), entry("2", reason="too_large", due=far), entry("3")])
    assert queue.make_due(NOON, reason="forbidden") == 1
    assert sorted(ids(queue.claim(NOON, 9, Priority.EVENT))) == ["1", "3"]
    assert queue.make_due(NOON, kind="patients") == 3
    assert queue.make_due(NOON, kind="patients") == 0  # due now is due already


def test_the_backlog_counts_by_reason_with_the_oldest(queue: WorkQueue) -> None:
    queue.enqueue([entry("1"), entry("2", seen=NOON - SECOND), entry("3", reason="forbidden")])
    rows = [(row.reason, row.count, row.oldest) for row in queue.backlog()]
    assert rows == [("quota", 2, NOON - SECOND), ("forbidden", 1, NOON)]


def test_a_fetch_of_an_older_version_than_the_events_leaves_the_entry(queue: WorkQueue) -> None:
    queue.enqueue([entry("1", updated_at="2026-03-01T07:00:00"), entry("2", updated_at="2026-03-01T07:00:00")])
    old = Evidence(NOON + 9 * SECOND, "2026-03-01T06:59:00")
    assert queue.complete(Target("patients", "1"), old) is False
    assert queue.complete_listed("patients", {"2": old}) == 0
    # Unless it is so much later that the older time is the truth: summer time ended.
    assert queue.complete(Target("patients", "1"), replace(old, until=NOON + VERSION_LAG)) is True


@pytest.mark.parametrize(
    ("broken", "rebuilt"),
    [
        ({}, 1),
        ({"kind": 5}, 1),
        # A claim finds it by its priority, and needs no repair.
        ({"priority": 0, "due": NOON, "kind": "patients"}, 0),
    ],
)
def test_an_unreadable_entry_is_rebuilt_and_its_target_fetched(
    queue: WorkQueue, documents: Documents, broken: dict[str, object], rebuilt: int
) -> None:
    documents.transact(lambda transaction: transaction.set("sync_pending/patients:7", broken))
    documents.transact(lambda transaction: transaction.set("sync_pending/nothing of ours", broken))
    queue.enqueue([entry("1")])
    assert queue.repair() == rebuilt
    claimed = queue.claim(NOON + 9 * SECOND, 10, Priority.EVENT)
    assert sorted(ids(claimed)) == ["1", "7"]
    assert {one.last_seen for one in claimed if one.target.id == "7"} == {NOON + 5 * SECOND}
    assert list(queue.unreadable()) == ["nothing of ours"]
