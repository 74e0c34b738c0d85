"""`retry` makes pending entries due."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

from shared.queue.entries import Entry, Priority, Target
from tests.ops.conftest import Practice


def put(practice: Practice, kind: str, key: str, reason: str) -> Target:
    seen = datetime.now(timezone.utc)
    entry = Entry(Target(kind, key), reason, Priority.EVENT, seen, seen, due=seen + timedelta(days=1))
    practice.system.queue().enqueue([entry])
    return entry.target


def is_due(practice: Practice, target: Target) -> bool:
    entry = practice.system.queue().get(target)
    return entry is not None and entry.due <= datetime.now(timezone.utc)


def test_retry_makes_every_pending_entry_due(either: Practice) -> None:
    targets = [put(either, "patients", "1", "forbidden"), put(either, "appointments", "2", "too_large")]
    shown = either.ops("retry")
    assert "2 entries that waited are due now." in shown.output
    assert all(is_due(either, target) for target in targets)


def test_one_reason_or_kind_leaves_the_others_alone(either: Practice) -> None:
    first = put(either, "patients", "1", "forbidden")
    second = put(either, "patients", "2", "too_large")
    third = put(either, "appointments", "3", "forbidden")
    shown = either.ops("retry", "--reason", "forbidden", "--kind", "patients")
    assert "1 entry that waited is due now." in shown.output
    assert [is_due(either, target) for target in (first, second, third)] == [True, False, False]


def test_one_record_is_fetched_again_though_it_was_not_pending(practice: Practice) -> None:
    practice.authorize()
    practice.backfill()
    practice.work()
    key = next(iter(practice.simulator.truth("patients")))
    practice.simulator.change("patients", key, {"city": "Springfield"}, webhook=False)
    assert practice.ops("show", "patients", key, "--diff").exit_code == 1
    assert f"patients/{key} is due now." in practice.ops("retry", "--kind", "patients", "--id", key).output
    practice.work()
    assert practice.ops("show", "patients", key, "--diff").exit_code == 0


def test_all_records_of_a_kind_are_read_so_that_many_deletions_are_found(practice: Practice) -> None:
    practice.authorize()
    practice.backfill()
    practice.work()
    gone = {str(practice.simulator.delete("appointments", webhook=False)["id"]) for _ in range(3)}
    shown = practice.ops("retry", "--kind", "appointments", "--all")
    assert "10 records of appointments will be fetched" in shown.output
    # A 404 alone is not believed, whoever asked: a person says that the records are deleted, and an answer counts that
    # no replica can have given which was unaware of the record.
    practice.work()
    assert {row.reason for row in practice.system.queue().backlog()} <= {"absent", "confirm", "follows"}
    documents = practice.system.documents()
    for key in gone:
        document = documents.get(f"appointments/{key}")
        assert document is not None
        seen = document["_sync"]["fetched_at"] - timedelta(minutes=1)
        moved = {"_sync": {**document["_sync"], "fetched_at": seen, "events_until": seen}}
        documents.transact(lambda transaction, key=key, moved=moved: transaction.update(f"appointments/{key}", moved))  # type: ignore[misc]
    said = practice.ops("accept-deletions", "appointments", "--yes").output
    assert "3 records of appointments that DrChrono does not show" in said
    assert all(key in said for key in gone)
    practice.ops("retry", "--kind", "appointments")
    practice.work()
    found = json.loads(practice.ops("status", "--json").output)["kinds"][1]
    assert (found["records"], found["deleted"]) == (7, len(gone))


def test_a_record_without_its_kind_is_refused(practice: Practice) -> None:
    assert practice.ops("retry", "--id", "1").exit_code == 2
    assert practice.ops("retry", "--all").exit_code == 2
    assert practice.ops("retry", "--kind", "patients", "--id", "1", "--all").exit_code == 2
    assert "neither empty" in practice.ops("retry", "--kind", "patients", "--id", "").stderr
    shown = practice.ops("retry", "--kind", "persons")
    assert shown.exit_code == 2
    assert "patients, appointments, clinical_notes" in " ".join(shown.stderr.split())


def test_accepting_deletions_where_none_are_held_does_nothing(practice: Practice) -> None:
    practice.authorize()
    practice.backfill()
    assert "No deletions of patients are held." in practice.ops("accept-deletions", "patients").output
    refused = practice.ops("accept-deletions", "persons")
    assert refused.exit_code == 2
    assert "choose one of patients" in " ".join(refused.stderr.split())


def test_a_record_that_never_existed_is_refused_and_leaves_no_entry(practice: Practice) -> None:
    """Its tombstone would be an empty document."""
    practice.authorize()
    shown = practice.ops("retry", "--kind", "patients", "--id", "12")
    assert shown.exit_code == 1
    assert "neither the copy nor DrChrono has patients/12, so nothing was queued" in shown.stderr
    assert practice.system.queue().waiting() == 0


def test_a_record_that_only_drchrono_has_is_fetched(practice: Practice) -> None:
    practice.authorize()
    key = next(iter(practice.simulator.truth("patients")))
    assert f"patients/{key} is due now." in practice.ops("retry", "--kind", "patients", "--id", key).output
    assert is_due(practice, Target("patients", key))


def test_an_unknown_reason_is_refused_with_those_in_the_queue(practice: Practice) -> None:
    shown = practice.ops("retry", "--reason", "nosuch")
    assert shown.exit_code == 1
    assert "nosuch is not a reason for which entries wait; those in the queue now: none" in shown.stderr
    put(practice, "patients", "1", "forbidden")
    assert "in the queue now: forbidden" in practice.ops("retry", "--reason", "nosuch").stderr
    assert "0 entries that waited are due now." in practice.ops("retry", "--reason", "quota").output


def test_it_says_how_often_the_sync_of_this_very_system_runs(practice: Practice) -> None:
    assert "works on it (every five minutes)" in practice.ops("retry").output
    practice.write(SYNC_SECONDS="10")
    assert "works on it (every 10 seconds)" in practice.ops("retry").output
    assert "works on it (every 10 seconds)" in practice.ops("backfill").output
