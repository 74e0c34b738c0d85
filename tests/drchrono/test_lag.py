"""The lag model, at its limits: what an answer proves, to the microsecond, and when to ask again."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from shared.drchrono.lag import Evidence, is_much_newer, is_older, listed_until, provable_from, proves, shown_until

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
MOMENT = timedelta(microseconds=1)
SEVEN, EIGHT = "2026-03-01T07:00:00", "2026-03-01T08:00:00"


def test_an_answer_shows_what_was_changed_31_seconds_before_its_request() -> None:
    """30 s of lag and one of skew, both to the side on which less is proved."""
    assert NOON - shown_until(NOON) == timedelta(seconds=31)
    assert provable_from(NOON) - NOON == timedelta(seconds=31)
    assert NOON - listed_until(NOON) == timedelta(seconds=62)
    assert shown_until(provable_from(NOON)) == NOON


def test_an_event_is_proved_by_a_view_of_its_own_instant_and_none_before() -> None:
    assert proves(Evidence(NOON), NOON, None)
    assert not proves(Evidence(NOON - MOMENT), NOON, None)
    assert proves(Evidence(NOON, SEVEN), NOON, SEVEN)
    assert proves(Evidence(NOON, EIGHT), NOON, SEVEN)
    late = timedelta(minutes=15)
    assert not proves(Evidence(NOON + late - MOMENT, SEVEN), NOON, EIGHT)
    assert proves(Evidence(NOON + late, SEVEN), NOON, EIGHT)


@pytest.mark.parametrize(
    ("one", "other", "older", "much_newer"),
    [
        (SEVEN, SEVEN, False, False),
        (SEVEN, EIGHT, True, False),
        (EIGHT, SEVEN, False, False),  # an hour is what summer time can be the reason for
        ("2026-03-01T08:00:01", SEVEN, False, True),
        (None, SEVEN, False, False),
        (SEVEN, None, False, False),
        (7, SEVEN, False, False),
        ("never", SEVEN, False, False),
    ],
)
def test_versions_are_compared_as_local_times(one: object, other: object, older: bool, much_newer: bool) -> None:
    assert is_older(one, other) is older
    assert is_much_newer(one, other) is much_newer
