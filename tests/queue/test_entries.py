"""Entries of the work queue: how two merge, when one is done, and when a failed one is tried again."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from shared.drchrono.lag import Evidence
from shared.errors import (
    BadRequest,
    DeletionsHeld,
    Forbidden,
    LookAgain,
    QuotaExhausted,
    RecordTooLarge,
    ServerError,
    SyncError,
    Throttled,
    TokenMissing,
    TokenRevoked,
    TokenUnavailable,
    Unreachable,
)
from shared.queue.entries import (
    Entry,
    Priority,
    Target,
    absent_since,
    attempted,
    due_after,
    is_done,
    merge,
    priority_after,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
DOWN = ServerError("GET /api/patients/1", status=500)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


ENTRY = Entry(Target("patients", "1"), "confirm", Priority.CONFIRM, at(0), at(10), at(40))


@pytest.mark.parametrize(
    ("attempts", "random", "seconds"),
    [
        (0, 0.0, 5.0),  # half of ten seconds
        (0, 0.5, 10.0),
        (0, 0.75, 12.5),
        (1, 0.5, 20.0),
        (5, 0.0, 160.0),
        (8, 0.5, 2560.0),
        (9, 0.5, 3600.0),  # never more than an hour, and half of one
        (9, 0.0, 1800.0),
        (10**6, 0.75, 4500.0),
    ],
)
def test_the_pauses_of_a_failure_grow_to_an_hour_and_are_spread_around_it(
    attempts: int, random: float, seconds: float
) -> None:
    for error in (DOWN, Unreachable("GET"), TokenUnavailable("for now")):
        assert due_after(error, attempts, NOON, lambda: random) == at(seconds)


@pytest.mark.parametrize(
    ("error", "random", "seconds"),
    [
        (QuotaExhausted(at(77)), 0.9, 77),
        (Throttled("GET", until=at(99)), 0.9, 99),
        (LookAgain("lag", at(31)), 0.9, 31),
        (LookAgain("lag", at(-31)), 0.9, 0),  # never in the past: it would come before those that wait longer
        (TokenMissing("authorize"), 0.9, 60),
        (TokenRevoked("authorize"), 0.9, 60),
        (DeletionsHeld("patients"), 0.0, 3600),
        (DeletionsHeld("patients"), 0.5, 3600 * 12.5),
        (Forbidden("GET", status=403), 0.9, 86_400),
        (BadRequest("GET", status=400), 0.9, 86_400),
        (RecordTooLarge("too large"), 0.9, 86_400),
    ],
)
def test_each_error_says_when_to_try_again(error: SyncError, random: float, seconds: float) -> None:
    assert due_after(error, 0, NOON, lambda: random) == at(seconds)


@pytest.mark.parametrize(
    ("error", "counts", "last"),
    [
        (DOWN, True, True),
        (Forbidden("GET", status=403), True, True),
        (LookAgain("lag", NOON), True, False),
        (QuotaExhausted(NOON), False, False),
        (Throttled("GET", until=NOON), False, False),
        (TokenMissing("authorize"), False, False),
    ],
)
def test_only_what_failed_of_itself_goes_behind_the_others(error: SyncError, counts: bool, last: bool) -> None:
    assert attempted(error) is counts
    assert priority_after(error, ENTRY) == (Priority.RETRY if last else Priority.CONFIRM)


def test_an_absence_is_forgotten_while_deletions_are_held_and_kept_through_an_outage() -> None:
    noticed = replace(ENTRY, absent_since=at(5))
    assert absent_since(LookAgain("absent", at(60), absent_since=at(7)), noticed) == at(7)
    assert absent_since(LookAgain("lag", at(60)), noticed) is None
    assert absent_since(DeletionsHeld("patients"), noticed) is None
    assert absent_since(DOWN, noticed) == at(5)


def test_two_entries_of_a_target_become_one_that_forgets_no_event() -> None:
    newer = replace(
        ENTRY,
        reason="quota",
        priority=Priority.EVENT,
        first_seen=at(20),
        last_seen=at(20),
        due=at(30),
        attempts=2,
        updated_at="2026-03-01T08:00:00",
        deletes=True,
        deliveries=("b", "a"),
        unstorable=True,
    )
    older = replace(ENTRY, updated_at="2026-03-01T07:00:00", deliveries=("a",), absent_since=at(3))
    merged = merge(older, newer)
    assert merged == Entry(
        target=ENTRY.target,
        reason="quota",
        priority=Priority.EVENT,
        first_seen=at(0),
        last_seen=at(20),
        due=at(30),
        attempts=2,
        updated_at="2026-03-01T08:00:00",
        deletes=True,
        deliveries=("a", "b"),
        absent_since=None,
        unstorable=True,
    )
    # Whichever came first into the queue: only the reason is that of the last one.
    assert replace(merge(newer, older), reason="", deliveries=()) == replace(merged, reason="", deliveries=())
    assert merge(None, newer) is newer


@pytest.mark.parametrize(
    ("deletion", "other", "deletes"),
    [
        (None, None, True),
        (None, "2026-03-01T08:00:00", True),
        ("2026-03-01T08:00:00", "2026-03-01T08:00:00", True),
        ("2026-03-01T07:00:00", "2026-03-01T08:00:00", False),  # it is late: the record is there again
    ],
)
def test_a_deletion_counts_unless_another_event_names_a_newer_version(
    deletion: str | None, other: str | None, deletes: bool
) -> None:
    late = replace(ENTRY, last_seen=at(20), updated_at=deletion, deletes=True)
    changed = replace(ENTRY, updated_at=other)
    assert merge(changed, late).deletes is deletes
    assert merge(late, changed).deletes is deletes


def test_the_name_of_an_entry_tells_a_record_from_a_list() -> None:
    assert Target("medications", "7").key == "medications:7"
    assert Target("medications", "7", "patient").key == "medications:patient:7"
    assert Target("medications", "patient:7").key == "medications:patient%3A7"


def test_what_is_leased_keeps_its_lease_whatever_comes() -> None:
    leased = replace(ENTRY, due=at(120), lease_until=at(120))
    merged = merge(leased, replace(ENTRY, last_seen=at(50), due=at(60)))
    assert (merged.due, merged.lease_until, merged.last_seen) == (at(120), at(120), at(50))


@pytest.mark.parametrize(
    ("until", "shown", "done"),
    [
        (9.999999, None, False),
        (10, None, True),
        (10, "2026-03-01T07:00:00", True),
        # An older version than an event named proves nothing for 15 minutes.
        (10, "2026-03-01T06:59:59", False),
        (909.999999, "2026-03-01T06:59:59", False),
        (910, "2026-03-01T06:59:59", True),
    ],
)
def test_an_entry_is_done_by_what_shows_its_last_event(until: float, shown: str | None, done: bool) -> None:
    entry = replace(ENTRY, updated_at="2026-03-01T07:00:00")
    assert is_done(entry, Evidence(at(until), shown)) is done
