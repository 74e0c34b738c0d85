"""What a fetch says about the event that caused it, and when to look again if it says nothing."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from shared.drchrono.lag import Evidence
from shared.errors import LookAgain
from shared.records.ordering import Copy, Outcome, Verdict
from shared.records.outcome import OUTCOMES, Done, Known, done
from shared.records.results import Stored

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
SEVEN, EIGHT = "2026-03-01T07:00:00", "2026-03-01T08:00:00"


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def copy(fetched: float = 0, updated_at: str | None = SEVEN, *, deleted: bool = False) -> Copy:
    return Copy(at(fetched), at(fetched - 31), None if deleted else "a", updated_at, deleted)


@pytest.mark.parametrize("verdict", sorted(set(Verdict) - {Verdict.LAGGING}))
def test_what_was_stored_is_the_outcome_with_its_evidence(verdict: Verdict) -> None:
    stored = Stored(verdict, None, copy(), doubted_until=at(31))
    assert done(stored, Known(at(-31)), at(0)) == Done(OUTCOMES[verdict], Evidence(at(-31), SEVEN), at(31))


@pytest.mark.parametrize(
    ("fetched", "began", "due"),
    [
        (0, 10, 70),  # a minute after this fetch
        (60, 0, 91),  # a lag after the fetch that is in the copy
        (None, 10, 70),
    ],
)
def test_an_answer_older_than_the_copy_is_asked_for_again(fetched: float | None, began: float, due: float) -> None:
    after = None if fetched is None else copy(fetched)
    with pytest.raises(LookAgain) as again:
        done(Stored(Verdict.LAGGING, after, after), Known(at(0)), at(began))
    assert again.value.due == at(due)


@pytest.mark.parametrize(
    ("began", "due"),
    [
        (0, 60),
        (-60, 31),
        (899.999, 959.999),
        (900, None),  # so late that the older time is the truth: summer time ended
    ],
)
def test_a_version_older_than_the_events_is_asked_for_again_for_fifteen_minutes(
    began: float, due: float | None
) -> None:
    known = Known(at(0), updated_at=EIGHT)
    stored = Stored(Verdict.STORE, None, copy(began))
    if due is None:
        assert done(stored, known, at(began)).outcome is Outcome.STORED
        return
    with pytest.raises(LookAgain) as again:
        done(stored, known, at(began))
    assert again.value.due == at(due)


def test_a_tombstone_and_the_version_of_the_event_are_not_behind() -> None:
    gone = Stored(Verdict.TOMBSTONE, None, copy(0, SEVEN, deleted=True))
    assert done(gone, Known(at(0), updated_at=EIGHT), at(0)).outcome is Outcome.GONE
    same = Stored(Verdict.SAME, None, copy(0, EIGHT))
    assert done(same, Known(at(0), updated_at=EIGHT), at(0)).outcome is Outcome.UNCHANGED


@pytest.mark.parametrize(
    ("known", "precedes"),
    [
        (Known(at(-31)), True),
        (Known(at(-30.999)), False),
        (Known(at(500), updated_at="2026-03-01T06:59:59"), True),
        (Known(at(500), updated_at=SEVEN), False),
    ],
)
def test_an_event_precedes_a_copy_that_includes_it_or_is_of_a_newer_version(known: Known, precedes: bool) -> None:
    assert known.precedes(copy()) is precedes
