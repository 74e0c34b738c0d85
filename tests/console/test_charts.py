"""What charts show: the numbers behind them, and where lines and bars stand."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console import charts, history
from console.history import LONG, Sample, Slice

NOON = datetime(2026, 3, 10, 12, tzinfo=timezone.utc)
SECONDS = st.floats(0, 3600, allow_nan=False)
FOUND = st.lists(st.tuples(st.integers(0, 7200).map(lambda seconds: NOON - timedelta(seconds=seconds)), SECONDS))


@pytest.mark.parametrize(
    ("minutes", "shown"), [(None, 2), (0, 2), (1, 2), (3, 5), (6, 10), (10, 10), (11, 60), (59, 60), (600, 60)]
)
def test_a_chart_shows_no_more_than_there_is(minutes: int | None, shown: int) -> None:
    began = None if minutes is None else NOON - timedelta(minutes=minutes)
    assert history.span(began, NOON) == timedelta(minutes=shown)


def test_delays_are_told_by_slice() -> None:
    found = [
        (NOON - timedelta(seconds=seconds), delay) for seconds, delay in ((5, 1.0), (10, 3.0), (59, 2.0), (60, 9.0))
    ]
    assert history.delays(found, NOON, LONG) == [Slice(1, 9.0, 9.0, 1), Slice(0, 2.0, 3.0, 3)]


@given(FOUND)
def test_every_delay_of_the_span_is_in_one_slice(found: list[tuple[datetime, float]]) -> None:
    slices = history.delays(found, NOON, LONG)
    assert sum(one.records for one in slices) == sum(NOON - at < LONG for at, _ in found)
    assert all(one.p50 <= one.p95 for one in slices)
    assert [one.ago for one in slices] == sorted({one.ago for one in slices}, reverse=True)


@given(st.floats(1e-6, 1e9))
def test_an_axis_holds_what_it_shows_and_not_ten_times_more(highest: float) -> None:
    assert highest <= charts.ceiling(highest) * (1 + 1e-9)
    assert charts.ceiling(highest) <= highest * 2.5 * (1 + 1e-9)


@given(st.lists(st.builds(Slice, st.integers(0, 59), SECONDS, SECONDS, st.just(1)), unique_by=lambda one: one.ago))
def test_marks_stay_inside_and_a_longer_delay_stands_higher(slices: list[Slice]) -> None:
    top = charts.decades(max((max(one.p50, one.p95) for one in slices), default=1))
    for one, mark in zip(slices, charts.marks(slices, top), strict=True):
        assert charts.LEFT < mark.x < charts.WIDTH - charts.RIGHT
        for y in (mark.p50, mark.p95):
            assert charts.TOP <= y <= charts.TOP + charts.INNER_HEIGHT
        assert (mark.p95 <= mark.p50) or one.p95 <= one.p50


def test_delays_are_shown_by_powers_of_ten() -> None:
    assert [line.label for line in charts.decade_grid(charts.decades(31))] == [
        "10 ms",
        "100 ms",
        "1 s",
        "10 s",
        "100 s",
    ]
    assert charts.decades(0.02) == 1.0
    assert charts.decades(10.0) == 10.0
    assert [charts.seconds(value) for value in (0.0, 0.045, 1.0, 2.34, 31, 720)] == [
        "0 ms", "45 ms", "1.0 s", "2.3 s", "31 s", "12 min",
    ]  # fmt: skip


@given(st.lists(st.integers(0, 9000), unique=True))
def test_of_samples_that_are_kept_none_is_older_than_an_hour_and_the_latest_is(seconds: list[int]) -> None:
    samples = [Sample(NOON - timedelta(seconds=one), {60: one}) for one in sorted(seconds, reverse=True)]
    kept = history.thinned(samples, NOON)
    assert all(NOON - sample.at <= LONG for sample in kept)
    assert len(kept) <= 300 + 601
    recent = [sample for sample in samples if NOON - sample.at <= timedelta(minutes=10)]
    assert kept[len(kept) - len(recent) :] == recent


def test_the_line_ends_at_now() -> None:
    samples = [Sample(NOON - timedelta(minutes=1), {60: 0}), Sample(NOON, {60: 50})]
    points = history.used(samples, 60, NOON, timedelta(minutes=2))
    assert points == [(0.5, 0), (1.0, 50)]
    assert charts.line(points, 100) == "224.0,128.0 394.0,69.0"
    assert charts.area(points, 100) == "224.0,128 224.0,128.0 394.0,69.0 394.0,128"
    assert charts.area([], 100) == charts.line([], 100) == ""
