from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.drchrono.windows import date_windows, days_in


def test_windows_follow_each_other_without_gap_or_overlap() -> None:
    assert list(date_windows(date(2026, 1, 1), date(2026, 1, 7), 3)) == [
        ("2026-01-01", "2026-01-03"),
        ("2026-01-04", "2026-01-06"),
        ("2026-01-07", "2026-01-07"),
    ]


def test_an_empty_span_has_no_windows() -> None:
    assert list(date_windows(date(2026, 1, 2), date(2026, 1, 1), 3)) == []


@given(st.dates(max_value=date(9990, 1, 1)), st.integers(0, 2000), st.integers(1, 400))
def test_every_day_is_in_exactly_one_window(first: date, more: int, days: int) -> None:
    last = first + timedelta(days=more)
    windows = list(date_windows(first, last, days))
    assert windows[0][0] == first.isoformat()
    assert windows[-1][1] == last.isoformat()
    assert sum(days_in(window) for window in windows) == more + 1
    assert all(1 <= days_in(window) <= days for window in windows)
    assert windows == sorted(windows)


def test_a_span_may_end_on_the_last_day_of_the_calendar() -> None:
    assert list(date_windows(date(9999, 12, 30), date.max, 180)) == [("9999-12-30", "9999-12-31")]


@pytest.mark.parametrize("window", [("2026-01-02", "2026-01-01"), ("2026-13-01", "2026-13-02"), ("", "")])
def test_an_invalid_window_is_refused(window: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match=r"window|month|isoformat"):
        days_in(window)


def test_a_window_has_at_least_one_day() -> None:
    with pytest.raises(ValueError, match="at least one day"):
        list(date_windows(date(2026, 1, 1), date(2026, 1, 7), 0))
