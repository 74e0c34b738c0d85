"""Appointments that no window of dates shows: before 2009, years ahead, with an empty time or null."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest

from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.jobs import backfill, reconcile
from shared.jobs.sync import sync
from shared.jobs.watermark import EARLIEST
from simulator import Simulator
from tests.clinic import Clinic, simulator

ODD = 60  # more than the limit on deletions allows in an hour


@pytest.fixture(params=["guide", "guide-uuid", "live"])
def running(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    with simulator(form=request.param, children=0, odd_appointments=ODD) as running:
        yield running


def times(clinic: Clinic) -> set[str | None]:
    return {visit["scheduled_time"] for visit in clinic.stored("appointments").values()}


def filled(clinic: Clinic, since: date = EARLIEST) -> Clinic:
    backfill.start(clinic.parts(), ("patients", "appointments"), since)
    clinic.run(backfill.go_on)
    clinic.later(minutes=1)
    clinic.run(sync)
    return clinic


def test_a_backfill_stores_them(running: Simulator, documents: Documents) -> None:
    clinic = filled(Clinic(running, documents))
    assert {"2004-05-06T09:00:00", "2041-05-06T09:00:00", "", None} <= times(clinic)
    assert [key for key in clinic.differences() if key.startswith("appointments")] == []
    assert clinic.positions.get("appointments").complete_at is not None


def test_a_pass_takes_none_of_them_for_absent(running: Simulator, embedded: Documents) -> None:
    clinic = filled(Clinic(running, embedded))
    clinic.later(days=1)
    reconcile.start(clinic.parts(), ("appointments",))
    run = clinic.run(reconcile.go_on)
    assert run.counts["absent"] == 0
    assert run.unfinished == {}
    assert clinic.absences.held_since(KINDS["appointments"]) is None
    assert clinic.queue.waiting() == 0
    assert [key for key in clinic.differences() if key.startswith("appointments")] == []


def test_one_that_is_deleted_becomes_a_tombstone_like_any_other(running: Simulator, embedded: Documents) -> None:
    clinic = filled(Clinic(running, embedded))
    gone = next(key for key, visit in running.truth("appointments").items() if visit["scheduled_time"] is None)
    running.delete("appointments", gone, webhook=False)
    clinic.later(days=1)
    reconcile.start(clinic.parts(), ("appointments",))
    clinic.run(reconcile.go_on)
    clinic.settle()
    clinic.settle()
    assert [key for key in clinic.differences() if key.startswith("appointments")] == []


def test_an_appointment_that_loses_its_date_is_found_by_the_sync(running: Simulator, embedded: Documents) -> None:
    clinic = filled(Clinic(running, embedded))
    key = next(key for key, visit in running.truth("appointments").items() if visit["scheduled_time"])
    running.change("appointments", key, {"scheduled_time": None}, webhook=False)
    clinic.later(minutes=20)
    clinic.run(sync)
    assert clinic.stored("appointments")[key]["scheduled_time"] is None


def test_changes_since_a_day_include_what_is_dated_before_it(running: Simulator, embedded: Documents) -> None:
    clinic = Clinic(running, embedded)
    odd = [
        key for key, visit in running.truth("appointments").items() if visit["scheduled_time"] == "2004-05-06T09:00:00"
    ]
    running.change("appointments", odd[0], webhook=False)
    filled(clinic, date(2026, 3, 9))
    assert odd[0] in clinic.stored("appointments")
