"""What a filling still takes: never more certain than what is known."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.drchrono.kinds import KINDS
from shared.jobs.checkpoint import Checkpoint
from shared.jobs.remaining import left_of_backfill, left_of_pass, remaining, time_of
from shared.rate_limit.windows import parse_windows

NOON = datetime(2026, 3, 10, 12, tzinfo=timezone.utc)
MINUTE = parse_windows("100/minute")
UNDATED = {"first": None, "last": None}
DATED = {"first": "2026-01-01", "last": "2026-06-01"}


def walk(**state: Any) -> Checkpoint:
    begun = {"began": NOON, "windows": [UNDATED], "all_windows": 1, "done": 0, "total": None, "reading": None}
    return Checkpoint(backfill={**begun, **state})


def reading(requests: int, last_pass: int = 0, **state: Any) -> Checkpoint:
    begun = {"began": NOON, "lists": [None], "all_lists": 1, "resume": None, "pages": 0, "requests": requests}
    return Checkpoint(reconcile={**begun, **state}, pass_requests=last_pass)


def test_where_nothing_is_under_way_nothing_is_left() -> None:
    assert remaining(KINDS["patients"], Checkpoint(), 5, MINUTE, 0.8) is None
    assert remaining(KINDS["problems"], Checkpoint(), 5, MINUTE, 0.8) is None
    assert (left_of_backfill(Checkpoint()), left_of_pass(Checkpoint())) == (0, 0)
    assert left_of_backfill(walk(windows=[])) == 0


@pytest.mark.parametrize(("total", "pages", "left"), [(20_000, 0, 40), (20_000, 19, 2), (20_001, 20, 2), (1, 0, 2)])
def test_a_bulk_list_says_how_many_pages_it_has(total: int, pages: int, left: int) -> None:
    assert left_of_backfill(walk(total=total, reading={"pages": pages})) == left


@pytest.mark.parametrize(
    "state",
    [
        {},  # the guide's lists name no count
        # The count is of one list without dates: here others wait, or it was divided by dates.
        {"total": 5000, "windows": [DATED, UNDATED], "all_windows": 2},
        {"total": 5000, "windows": [UNDATED, DATED], "all_windows": 2},
        {"total": 5000, "windows": [DATED], "all_windows": 2},
    ],
)
def test_lists_without_a_count_are_not_guessed(state: dict[str, Any]) -> None:
    assert left_of_backfill(walk(**state)) is None


def test_a_first_pass_over_one_list_is_not_guessed_and_a_later_one_is_as_long_as_the_last() -> None:
    assert left_of_pass(reading(300)) is None
    assert left_of_pass(reading(300, last_pass=800)) == 500
    assert left_of_pass(reading(900, last_pass=800)) == 1  # it is not at its end, whatever the last one took


def test_lists_by_doctor_are_taken_for_as_long_as_those_that_were_read() -> None:
    assert left_of_pass(reading(0, lists=["1", "2", "3", "4"], all_lists=4)) is None
    assert left_of_pass(reading(30, lists=["3", "4"], all_lists=4)) == 30


def test_entries_of_the_queue_take_a_request_each() -> None:
    found = remaining(KINDS["medications"], reading(300, last_pass=800), 7, MINUTE, 0.8)
    assert found is not None
    assert found.requests == 507
    unknown = remaining(KINDS["medications"], reading(300), 7, MINUTE, 0.8)
    assert unknown is not None
    assert (unknown.requests, unknown.time) == (None, None)


def test_the_tightest_window_says_how_long_it_takes() -> None:
    assert time_of(800, MINUTE, 0.8) == timedelta(minutes=10)
    assert time_of(800, parse_windows("10/second,500/hour"), 0.8) == timedelta(hours=2)


@given(
    total=st.integers(0, 10**6),
    pages=st.integers(0, 2000),
    last=st.integers(0, 10**5),
    read=st.integers(0, 10**5),
    lists=st.integers(1, 9),
    more=st.integers(0, 9),
)
def test_what_is_under_way_is_never_taken_for_done(
    total: int, pages: int, last: int, read: int, lists: int, more: int
) -> None:
    assert (left_of_backfill(walk(total=total, reading={"pages": pages})) or 0) > 0
    left = left_of_pass(reading(read, last_pass=last, lists=["1"] * lists, all_lists=lists + more))
    assert left is None or left > 0
