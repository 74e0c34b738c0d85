"""Watermarks: learned from the clock and DrChrono's strings, whatever zone either is in."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.documents import Documents
from shared.jobs import watermark
from shared.jobs.sync import sync
from shared.jobs.watermark import EAST, KEPT, OVERLAP, QUORUM, WEST, OffsetSample
from tests.clinic import Clinic, simulator
from tests.jobs.test_sync import filled

NOON = datetime(2026, 3, 10, 12, tzinfo=timezone.utc)
HOUR = timedelta(hours=1)


def local(instant: datetime, hours: float) -> str:
    return (instant + hours * HOUR).strftime(watermark.FORMAT)


@given(
    zone=st.sampled_from([-4, -5, -6, -7, -8, -9, -10, -11]),
    since_zone=st.sampled_from([-4, -5, -6, -7, -8, -9, -10, -11]),
    ages=st.lists(st.integers(0, 40_000), min_size=QUORUM, max_size=8),
    misdated=st.lists(st.integers(-20, 40), max_size=QUORUM - 1),
)
@settings(deadline=None)
def test_no_change_is_missed_whatever_zone_since_is_read_in_and_whatever_one_record_says(
    zone: int, since_zone: int, ages: list[int], misdated: list[int]
) -> None:
    """A completed list at noon; the next one must show what was changed after it."""
    records: dict[str, object] = {f"r{n}": local(NOON - timedelta(seconds=age), zone) for n, age in enumerate(ages)}
    records |= {f"x{n}": local(NOON, zone + hours) for n, hours in enumerate(misdated)}
    offsets = watermark.learned([], records, NOON)
    seen = watermark.newest([{"updated_at": value} for value in records.values()], None)
    mark = watermark.moved(None, seen, NOON, watermark.offset_of(offsets))
    asked = datetime.fromisoformat(watermark.since(mark)).replace(tzinfo=timezone.utc) - since_zone * HOUR
    shown_until = NOON - timedelta(seconds=31)
    assert asked <= shown_until
    # And not much more than needed, where something was changed lately and no clock is wrong.
    if zone == since_zone and min(ages) < 3600 and sorted(ages)[QUORUM - 1] < 3600 and not misdated:
        assert asked >= NOON - OVERLAP - HOUR


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-200_000, 200_000)), max_size=30))
def test_the_offset_is_that_of_a_zone_and_needs_several_records(looks: list[tuple[int, int]]) -> None:
    known: list[OffsetSample] = []
    for number, (key, seconds) in enumerate(looks):
        fetched = NOON + number * HOUR
        known = watermark.learned(known, {str(key): local(fetched, seconds / 3600)}, fetched)
    assert len(known) <= QUORUM
    assert len({one.id for one in known}) == len(known)
    assert -WEST <= watermark.offset_of(known) <= EAST
    if len(known) < QUORUM:
        assert watermark.offset_of(known) == -WEST


def test_what_was_learned_is_forgotten_after_a_week() -> None:
    summer = {str(n): local(NOON, -4) for n in range(QUORUM)}
    known = watermark.learned([], summer, NOON)
    assert watermark.offset_of(known) == -4 * HOUR
    later = NOON + KEPT
    known = watermark.learned(known, {str(n): local(later, -5) for n in range(QUORUM)}, later)
    assert watermark.offset_of(known) == -5 * HOUR


@pytest.mark.parametrize("value", [None, 5, "", "yesterday", ["2026-03-10T12:00:00"], "2026-13-01T00:00:00"])
def test_what_is_no_time_is_left_out(value: Any) -> None:
    assert watermark.learned([], {"1": value}, NOON) == []
    assert watermark.newest([{"updated_at": value}], None) is None
    assert watermark.samples_of([value, {"id": "1"}, {"id": "1", "seconds": "2", "at": NOON}]) == []


def misdate(clinic: Clinic, key: str, hours: int) -> None:
    """Whatever shows this patient shows it as changed so many hours ahead."""
    at = clinic.simulator.clinic.local.text(clinic.simulator.clock.now() + 3600 * hours)
    rule = {"match": {"kind": "patients", "id": key}, "fault": "edit", "fields": {"updated_at": at}}
    clinic.simulator.faults.set([rule], replace=True)


@pytest.mark.parametrize("form", ["guide", "live"])
@pytest.mark.parametrize("hours", [6, 18])
def test_a_record_dated_ahead_hides_no_change(form: str, hours: int, documents: Documents) -> None:
    with simulator(form=form, patients=12, appointments=0, notes=0, children=0) as running:
        clinic = filled(Clinic(running, documents))
        keys = sorted(running.truth("patients"))
        running.change("patients", keys[0], webhook=False)
        misdate(clinic, keys[0], hours)
        clinic.later(minutes=20)
        clinic.run(sync)
        for key in keys[1:]:
            running.change("patients", key, webhook=False)
            clinic.later(hours=1)
            clinic.run(sync)
            assert clinic.stored("patients")[key]["updated_at"] == running.truth("patients")[key]["updated_at"]


@pytest.mark.parametrize("form", ["guide", "live"])
@pytest.mark.parametrize(
    "shifts",
    [
        {"since_shift_hours": 3},
        {"since_shift_hours": -3},
        {"updated_at_shift_hours": 3},
        {"updated_at_shift_hours": -6, "since_shift_hours": 0.5},
        {"updated_at_shift_hours_of": {"patients": 4, "appointments": -3}},
    ],
    ids=str,
)
def test_no_change_is_missed_where_since_is_read_in_another_zone(
    form: str, shifts: dict[str, Any], embedded: Documents
) -> None:
    with simulator(form=form, patients=12, appointments=12, notes=0, children=0, **shifts) as running:
        clinic = filled(Clinic(running, embedded))
        for number in range(12):
            for kind in ("patients", "appointments"):
                running.change(kind, webhook=False)
            clinic.later(minutes=20 + 4 * number)
            clinic.run(sync)
            assert clinic.differences() == []


def test_the_overlap_costs_rows_and_no_requests(embedded: Documents) -> None:
    with simulator(form="live", patients=60, appointments=120, notes=0, children=0, token_seconds=10**7) as running:
        clinic = filled(Clinic(running, embedded))
        for _ in range(3):
            clinic.later(hours=1)
            for _ in range(40):
                running.change("appointments", webhook=False)
            clinic.run(sync)
        clinic.later(minutes=20)
        before = clinic.requests()
        run = clinic.run(sync)
        assert run.counts["seen"] > 60
        assert clinic.requests() - before <= 1 + 4  # one list of patients; one of appointments, made and polled for
