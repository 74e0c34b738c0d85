"""How many records may be absent at once: at each limit, and one beyond it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from shared.records.deletion_limit import counted, is_exceeded, minute_of

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("absent", "kept", "exceeded"),
    [
        (0, 0, False),
        # Fewer than five: one practice may delete all of a kind that has four.
        (4, 4, False),
        # From five on, more than half.
        (2, 5, False),
        (3, 5, True),
        (5, 10, False),
        (6, 10, True),
        # Of a large kind, more than 25 and more than 2 %.
        (25, 100, False),
        (26, 100, True),
        (26, 1_299, True),
        (26, 1_300, False),
        (27, 1_300, True),
        (200, 10_000, False),
        (201, 10_000, True),
        # None is kept: nothing can be deleted, but what was is counted.
        (25, 0, False),
        (26, 0, True),
    ],
)
def test_more_than_the_limit_is_exceeded_and_the_limit_is_not(absent: int, kept: int, exceeded: bool) -> None:
    assert is_exceeded(absent, kept) is exceeded


def test_deletions_count_for_an_hour_to_the_microsecond() -> None:
    recent = {minute_of(NOON): 3, minute_of(NOON - timedelta(minutes=59)): 2, minute_of(NOON - timedelta(hours=1)): 9}
    assert sum(counted(recent, NOON).values()) == 5
    just_inside = NOON - timedelta(hours=1) + timedelta(microseconds=1)
    assert counted({just_inside.isoformat(): 4}, NOON) == {just_inside.isoformat(): 4}


def test_what_cannot_be_read_is_no_deletion() -> None:
    assert counted({"yesterday": 5, minute_of(NOON): "many"}, NOON) == {}  # type: ignore[dict-item]
