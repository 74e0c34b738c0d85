"""The order of fetches: whatever order their answers arrive in, the copy ends as the last fetch to begin saw it."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.records.ordering import Copy, Observation, Outcome, Verdict, already_done, judge
from shared.webhooks.events import Change

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def copy(fetched: float = 0, digest: str | None = "a", updated_at: str | None = None, deleted: bool = False) -> Copy:
    return Copy(at(fetched), at(fetched), digest, updated_at, deleted)


def observation(began: float, digest: str | None = "a", updated_at: str | None = None) -> Observation:
    return Observation(at(began), digest, updated_at)


@pytest.mark.parametrize(
    ("stored", "seen", "verdict"),
    [
        (None, observation(1), Verdict.STORE),
        (None, observation(1, None), Verdict.TOMBSTONE),
        (copy(0), observation(1), Verdict.SAME),
        (copy(0), observation(1, "b"), Verdict.STORE),
        (copy(1), observation(0, "b"), Verdict.LATE),
        (copy(1), observation(1, "b"), Verdict.LATE),
        (copy(1), observation(0, None), Verdict.LATE),
        (copy(0), observation(1, None), Verdict.TOMBSTONE),
        (copy(0, None, deleted=True), observation(1, None), Verdict.SAME),
        (copy(0, "a", "2026-03-01T07:00:00"), observation(1, "b", "2026-03-01T06:59:59"), Verdict.LAGGING),
        (copy(0, "a", "2026-03-01T07:00:00"), observation(1, "b", "2026-03-01T07:00:00"), Verdict.STORE),
        (copy(0, "a", "2026-03-01T07:00:00"), observation(1, "b", None), Verdict.STORE),
        # A record that was gone and is there again: at once, if it is a newer one; else not before a minute is over.
        (
            copy(0, None, "2026-03-01T07:00:00", deleted=True),
            observation(1, "a", "2026-03-01T07:00:00"),
            Verdict.LAGGING,
        ),
        (copy(0, None, "2026-03-01T07:00:00", deleted=True), observation(1, "b", "2026-03-01T07:00:01"), Verdict.STORE),
        (
            copy(0, None, "2026-03-01T07:00:00", deleted=True),
            observation(61, "a", "2026-03-01T07:00:00"),
            Verdict.STORE,
        ),
        # The hour that repeats when summer time ends: an older time is the truth, once no replica can lag that far.
        (copy(0, "a", "2026-11-01T01:50:00"), observation(16 * 60, "b", "2026-11-01T01:06:00"), Verdict.STORE),
    ],
)
def test_what_a_fetch_means_for_the_copy(stored: Copy | None, seen: Observation, verdict: Verdict) -> None:
    assert judge(stored, seen) is verdict


def arrive(stored: Copy | None, seen: Observation) -> Copy | None:
    """The copy after this fetch's answer."""
    verdict = judge(stored, seen)
    if verdict in (Verdict.STORE, Verdict.SAME):
        return Copy(seen.began, seen.began, seen.digest, seen.updated_at, seen.digest is None)
    if verdict is Verdict.TOMBSTONE:
        return Copy(seen.began, seen.began, None, stored.updated_at if stored else None, True)
    return stored


versions = st.lists(st.one_of(st.none(), st.integers(0, 4)), min_size=1, max_size=5)


@given(history=versions, timed=st.booleans(), order=st.randoms())
def test_every_order_of_arrival_ends_with_what_the_latest_fetch_saw(
    history: list[int | None], timed: bool, order: object
) -> None:
    """history: what is true in the 100 s around each fetch; None is deleted."""
    seen = [
        observation(
            100 * number,
            None if version is None else f"{version}-{number if timed else ''}",
            f"2026-03-01T12:{number:02}:00" if timed else None,
        )
        for number, version in enumerate(history)
    ]
    for arrivals in itertools.islice(itertools.permutations(seen), 120):
        stored: Copy | None = None
        for one in arrivals:
            stored = arrive(stored, one)
        assert stored is not None
        assert stored.deleted is (seen[-1].digest is None)
        if not stored.deleted:
            assert stored.digest == seen[-1].digest


def change(received: float, updated_at: str | None = None, event: str = "PATIENT_MODIFY") -> Change:
    return Change(event, "patients", "1", "d", at(received), updated_at)


@pytest.mark.parametrize(
    ("event", "stored", "synced_at", "outcome"),
    [
        (change(0), None, None, None),
        (change(0), copy(1), None, Outcome.COVERED),
        (change(2), copy(1), None, None),
        (change(2, "2026-03-01T07:00:00"), copy(1, updated_at="2026-03-01T07:00:01"), None, Outcome.UNCHANGED),
        # The same second may hold a second change.
        (change(2, "2026-03-01T07:00:00"), copy(1, updated_at="2026-03-01T07:00:00"), None, None),
        # The fetch began later and yet saw an older version: a replica.
        (change(0, "2026-03-01T07:00:01"), copy(1, updated_at="2026-03-01T07:00:00"), None, None),
        (change(0), None, at(3600), Outcome.COVERED),
        (change(0), None, at(60), None),
        (change(0, event="APPOINTMENT_DELETE"), None, at(3600), None),
    ],
)
def test_when_an_event_needs_no_request(
    event: Change, stored: Copy | None, synced_at: datetime | None, outcome: Outcome | None
) -> None:
    assert already_done(event, stored, synced_at) is outcome
