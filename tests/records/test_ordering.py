"""The order of fetches: in whatever order answers arrive, the copy ends as the fetch that began last saw the record."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.drchrono.lag import shown_until
from shared.records.ordering import (
    Copy,
    Observation,
    Outcome,
    Verdict,
    already_settled,
    copy_of,
    doubted_until,
    judge,
    shares_fetch,
)
from shared.records.results import WRITTEN
from shared.webhooks.events import Change

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def copy(
    fetched: float = 0,
    digest: str | None = "a",
    updated_at: str | None = None,
    *,
    deleted: bool = False,
    doubted: float | None = None,
) -> Copy:
    return Copy(
        at(fetched),
        shown_until(at(fetched)),
        digest,
        updated_at,
        deleted,
        doubted_until=None if doubted is None else at(doubted),
    )


def observation(
    began: float, digest: str | None = "a", updated_at: str | None = None, *, stated: bool = False
) -> Observation:
    return Observation(at(began), digest, updated_at, stated)


SEVEN, BEFORE_SEVEN, AFTER_SEVEN = "2026-03-01T07:00:00", "2026-03-01T06:59:59", "2026-03-01T07:00:01"


@pytest.mark.parametrize(
    ("stored", "seen", "verdict"),
    [
        (None, observation(1), Verdict.STORE),
        (None, observation(1, None), Verdict.TOMBSTONE),
        (copy(0), observation(1), Verdict.SAME),
        (copy(0), observation(40, "b"), Verdict.STORE),
        # Within the lag of the last fetch, another state may be an older one.
        (copy(0), observation(1, "b"), Verdict.UNSURE),
        (copy(0, doubted=30), observation(1), Verdict.SAME),
        (copy(0, doubted=30), observation(1, "b"), Verdict.UNSURE),
        (copy(0, doubted=30), observation(40, "b"), Verdict.STORE),
        (copy(1), observation(0, "b"), Verdict.LATE),
        (copy(1), observation(1, "b"), Verdict.LATE),
        # A version that is newer is never late: the later fetch met the older replica.
        (copy(1, "a", SEVEN), observation(0, "b", AFTER_SEVEN), Verdict.STORE),
        (copy(1, None, SEVEN, deleted=True), observation(0, "b", AFTER_SEVEN), Verdict.LATE),
        # An absence counts once no replica can be unaware of the record; a deletion that is stated counts at once.
        (copy(1), observation(0, None), Verdict.LATE),
        (copy(0), observation(1, None), Verdict.LAGGING),
        (copy(0), observation(1, None, stated=True), Verdict.TOMBSTONE),
        (copy(0), observation(32, None), Verdict.TOMBSTONE),
        (copy(0, None, deleted=True), observation(1, None), Verdict.SAME),
        (copy(0, "a", SEVEN), observation(1, "b", BEFORE_SEVEN), Verdict.LAGGING),
        (copy(0, "a", SEVEN), observation(1, "b", SEVEN), Verdict.UNSURE),
        (copy(0, "a", SEVEN), observation(1, "b", AFTER_SEVEN), Verdict.STORE),
        (copy(0, "a", SEVEN), observation(1, "b", None), Verdict.UNSURE),
        # What was gone and is there again: a replica may still show what was there before the deletion.
        (copy(0, None, SEVEN, deleted=True), observation(1, "a", SEVEN), Verdict.LAGGING),
        (copy(0, None, SEVEN, deleted=True), observation(1, "b", AFTER_SEVEN), Verdict.LAGGING),
        (copy(0, None, SEVEN, deleted=True), observation(61, "a", SEVEN), Verdict.STORE),
        # To the second: the lag and the skew of clocks are 31 s, and an older version is refused for 15 minutes.
        (copy(0), observation(30.999, "b"), Verdict.UNSURE),
        (copy(0), observation(31, "b"), Verdict.STORE),
        (copy(0), observation(30.999, None), Verdict.LAGGING),
        (copy(0), observation(31, None), Verdict.TOMBSTONE),
        (copy(0, None, deleted=True), observation(30.999, "a"), Verdict.LAGGING),
        (copy(0, None, deleted=True), observation(31, "a"), Verdict.STORE),
        (copy(0, "a", SEVEN), observation(899.999, "b", BEFORE_SEVEN), Verdict.LAGGING),
        (copy(0, "a", SEVEN), observation(900, "b", BEFORE_SEVEN), Verdict.STORE),
        # The hour that repeats when summer time ends: an older time is the truth, once no replica can lag that far.
        (copy(0, "a", "2026-11-01T01:50:00"), observation(16 * 60, "b", "2026-11-01T01:06:00"), Verdict.STORE),
    ],
)
def test_each_observation_gets_its_verdict(stored: Copy | None, seen: Observation, verdict: Verdict) -> None:
    assert judge(stored, seen) is verdict


@given(
    st.sampled_from(["a", "b"]),
    st.sampled_from([None, SEVEN]),
    st.booleans(),
    st.floats(-2000, 2000),
    st.sampled_from([None, 10.0, 31.0]),
    st.sampled_from([("a", SEVEN), ("a", None), ("b", AFTER_SEVEN), ("b", BEFORE_SEVEN), ("b", None)]),
)
def test_what_is_written_differs_from_the_copy(
    digest: str,
    updated_at: str | None,
    deleted: bool,
    began: float,
    doubted: float | None,
    seen: tuple[str, str | None],
) -> None:
    """So each write is a version of its own. A record's `updated_at` is part of its digest."""
    version = updated_at if digest != seen[0] else seen[1]
    stored = copy(0, None if deleted else digest, version, deleted=deleted, doubted=doubted)
    if judge(stored, observation(began, *seen)) in WRITTEN:
        assert deleted or digest != seen[0]
    if judge(stored, observation(began, None)) is Verdict.TOMBSTONE:
        assert not deleted


def arrive(stored: Copy | None, seen: Observation) -> Copy | None:
    """Return the copy after this fetch's answer."""
    verdict = judge(stored, seen)
    latest = max(seen.began, stored.fetched_at) if stored else seen.began
    if verdict in (Verdict.STORE, Verdict.SAME):
        return Copy(latest, latest, seen.digest, seen.updated_at, seen.digest is None)
    if verdict is Verdict.TOMBSTONE:
        return Copy(latest, latest, None, stored.updated_at if stored else None, True)
    return stored


versions = st.lists(st.one_of(st.none(), st.integers(0, 4)), min_size=1, max_size=5)


@given(history=versions, timed=st.booleans(), order=st.randoms())
def test_every_order_of_arrival_ends_with_the_latest_fetch(
    history: list[int | None], timed: bool, order: object
) -> None:
    """history: the true state in the 100 s around each fetch; None is deleted."""
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


@pytest.mark.parametrize(
    ("stored", "verdict", "began", "until"),
    [
        (None, Verdict.STORE, 5, None),
        # Another content so soon after the last fetch: doubted until a fetch cannot lag behind that one.
        (copy(0), Verdict.UNSURE, 5, 31),
        (copy(5, doubted=31), Verdict.UNSURE, 20, 36),
        # The same is shown again, which proves it from that time on.
        (copy(5, doubted=31), Verdict.SAME, 30.999, 31),
        (copy(5, doubted=31), Verdict.SAME, 31, None),
        (copy(5), Verdict.SAME, 6, None),
        # What another verdict stores or refuses is not in doubt.
        (copy(5, doubted=31), Verdict.STORE, 20, None),
        (copy(5, doubted=31), Verdict.LAGGING, 20, None),
    ],
)
def test_content_is_doubted_until_a_fetch_can_prove_it(
    stored: Copy | None, verdict: Verdict, began: float, until: float | None
) -> None:
    assert doubted_until(stored, verdict, at(began)) == (None if until is None else at(until))


def change(
    received: float, updated_at: str | None = None, event: str = "PATIENT_MODIFY", delivery: str = "d"
) -> Change:
    return Change(event, "patients", "1", delivery, at(received), updated_at)


@pytest.mark.parametrize(
    ("event", "stored", "outcome"),
    [
        (change(0), None, None),
        # An answer shows every change up to the longest lag before it was asked for, and may miss what is later.
        (change(0), copy(31), Outcome.COVERED),
        (change(0), copy(30), None),
        # The same second may hold a second change, and within an hour summer time may have ended.
        (change(2, SEVEN), copy(1, updated_at=SEVEN), None),
        (change(2, SEVEN), copy(1, updated_at="2026-03-01T07:59:59"), None),
        (change(2, SEVEN), copy(1, updated_at="2026-03-01T08:00:01"), Outcome.UNCHANGED),
        # The fetch began late enough and yet saw an older version: a replica that lags for longer than most.
        (change(0, AFTER_SEVEN), copy(60, updated_at=SEVEN), None),
        (change(0, AFTER_SEVEN), copy(20 * 60, updated_at=SEVEN), Outcome.COVERED),
        (change(50, event="APPOINTMENT_DELETE"), copy(100), None),
        (change(50, event="APPOINTMENT_DELETE"), copy(10, None, deleted=True), Outcome.COVERED),
    ],
)
def test_an_event_that_the_copy_includes_needs_no_request(
    event: Change, stored: Copy | None, outcome: Outcome | None
) -> None:
    assert already_settled(event, stored) is outcome


def test_a_delivery_that_was_settled_needs_no_request_again_but_a_body_may_be_sent_twice() -> None:
    settled = replace(copy(0), deliveries=("7c0e", "a" * 64))
    assert already_settled(change(500, delivery="7c0e"), settled) is Outcome.COVERED
    assert already_settled(change(500, delivery="a" * 64), settled) is None


@pytest.mark.parametrize(
    ("event", "stored", "shares"),
    [
        (change(0), copy(1), True),
        # The clocks of two instances may be so far apart.
        (change(0), copy(0.9), False),
        (change(0, SEVEN), copy(1, updated_at=SEVEN), True),
        (change(0, SEVEN), copy(1, updated_at=BEFORE_SEVEN), False),
        (change(0, event="APPOINTMENT_DELETE"), copy(10), False),
    ],
)
def test_an_event_shares_a_fetch_that_began_after_it(event: Change, stored: Copy, shares: bool) -> None:
    assert shares_fetch(event, stored) is shares


def test_a_copy_is_what_its_document_says() -> None:
    meta = {"fetched_at": at(1), "events_until": at(0), "digest": "a", "deleted": False}
    assert copy_of({"updated_at": SEVEN, "_sync": meta}) == Copy(at(1), at(0), "a", SEVEN, deleted=False)
    more = {"digest": None, "deleted": True, "deliveries": ["d1"], "doubted_until": at(31)}
    deleted = copy_of({"_sync": meta | more})
    assert deleted == Copy(at(1), at(0), None, None, deleted=True, deliveries=("d1",), doubted_until=at(31))
    assert copy_of({"_sync": meta | {"fetched_at": at(1).replace(tzinfo=None)}}) is None


@pytest.mark.parametrize("document", [{}, {"_sync": None}, {"_sync": {}}, {"_sync": {"fetched_at": "yesterday"}}, None])
def test_a_document_that_this_system_did_not_write_is_not_a_copy(document: dict[str, object] | None) -> None:
    assert copy_of(document) is None
