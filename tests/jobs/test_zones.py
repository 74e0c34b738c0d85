"""Appointments get the instant that their doctor's zone makes of them, also where the zone is known later, or new."""

from __future__ import annotations

from contextlib import suppress
from datetime import date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from shared.documents import Data, Documents, Where
from shared.drchrono.kinds import KINDS
from shared.jobs import backfill
from shared.jobs.run import Run
from shared.jobs.stopping import Stopped
from shared.jobs.sync import sync
from shared.jobs.zones import SETTLED, apply_zones
from shared.records import zones
from shared.records.storable import META, join
from shared.records.store import Source
from simulator import Simulator
from tests.clinic import Clinic, simulator

FORMS = pytest.mark.parametrize("form", ["guide", "live"])
PACIFIC, EASTERN = "US/Pacific", "US/Eastern"


def in_zones(form: str, **settings: Any) -> Simulator:
    """A practice whose three doctors are in three zones, and whose token lasts."""
    running = simulator(form=form, token_seconds=10**8, **settings)
    for doctor, zone in zip(running.truth("doctors"), (EASTERN, PACIFIC, "US/Arizona"), strict=True):
        running.change("doctors", doctor, {"timezone": zone}, webhook=False)
    return running


def start(run: Run) -> None:
    backfill.start(run.parts, backfill.KIND_NAMES, date(2024, 1, 1))
    backfill.go_on(run)


def instants(documents: Documents) -> dict[str, datetime | None]:
    return {name: document[META].get("scheduled_at") for name, document in documents.query("appointments")}


def expected(clinic: Clinic) -> dict[str, datetime | None]:
    """By the simulator's truth. In its generated appointments, no time is in the hours in which clocks change."""
    zone = {str(key): doctor["timezone"] for key, doctor in clinic.simulator.truth("doctors").items()}
    return {
        key: datetime.fromisoformat(visit["scheduled_time"])
        .replace(tzinfo=ZoneInfo(zone[str(visit["doctor"])]))
        .astimezone(timezone.utc)
        for key, visit in clinic.simulator.truth("appointments").items()
    }


def settled(clinic: Clinic) -> None:
    clinic.later(seconds=SETTLED.total_seconds() + 1)
    clinic.run(apply_zones)


@FORMS
def test_with_the_doctors_known_each_appointment_has_its_instant_at_once(documents: Documents, form: str) -> None:
    with in_zones(form) as running:
        clinic = Clinic(running, documents)
        clinic.run(sync)
        clinic.run(start)
        assert instants(documents) == expected(clinic)
        assert len(set(instants(documents).values())) > 20


@FORMS
def test_appointments_that_were_stored_before_their_doctor_get_it_later(documents: Documents, form: str) -> None:
    with in_zones(form) as running:
        clinic = Clinic(running, documents)
        clinic.run(start)
        assert set(instants(documents).values()) == {None}
        clinic.run(sync)
        settled(clinic)
        assert instants(documents) == expected(clinic)


@FORMS
def test_a_changed_zone_changes_the_instants_of_that_doctor_and_nothing_else(documents: Documents, form: str) -> None:
    with in_zones(form) as running:
        clinic = Clinic(running, documents)
        clinic.run(sync)
        clinic.run(start)
        settled(clinic)
        before = dict(documents.query("appointments"))
        moved, *_ = running.truth("doctors")
        running.change("doctors", moved, {"timezone": "US/Hawaii"}, webhook=False)
        clinic.later(hours=25)
        clinic.run(sync)
        requests = clinic.requests()
        settled(clinic)
        assert clinic.requests() == requests
        assert instants(documents) == expected(clinic)
        after = dict(documents.query("appointments"))
        changed = {name for name in before if _instant(before[name]) != _instant(after[name])}
        assert changed == {name for name, visit in before.items() if str(visit["doctor"]) == moved}
        for name, document in after.items():
            assert join(document) == join(before[name])
            assert _others(document) == _others(before[name])


def _instant(document: Data) -> Any:
    return document[META].get("scheduled_at")


def _others(document: Data) -> dict[str, Any]:
    """What of `_sync` says what the copy is, without when it was looked at."""
    skipped = ("scheduled_at", "fetched_at", "events_until")
    return {name: value for name, value in document[META].items() if name not in skipped}


def test_a_zone_that_is_lost_takes_the_instants_away_and_one_that_returns_brings_them(embedded: Documents) -> None:
    with in_zones("live") as running:
        clinic = Clinic(running, embedded)
        clinic.run(sync)
        clinic.run(start)
        settled(clinic)
        doctor, *_ = running.truth("doctors")
        for zone in ("Mars/Olympus", EASTERN):
            running.change("doctors", doctor, {"timezone": zone}, webhook=False)
            clinic.later(hours=25)
            clinic.run(sync)
            settled(clinic)
            visits = dict(embedded.query("appointments", [Where("doctor", "==", int(doctor))]))
            assert visits
            assert {_instant(visit) is None for visit in visits.values()} == {zone != EASTERN}
        assert instants(embedded) == expected(clinic)


def test_a_writer_that_read_the_zone_before_it_changed_is_waited_for(embedded: Documents) -> None:
    """Its transaction may be written after the doctor's; what it wrote is then gone through as well."""
    with in_zones("guide") as running:
        clinic = Clinic(running, embedded)
        clinic.run(sync)
        clinic.run(start)
        settled(clinic)
        doctor, *_ = running.truth("doctors")
        name, visit = next(embedded.query("appointments", [Where("doctor", "==", int(doctor))]))
        running.change("doctors", doctor, {"timezone": PACIFIC}, webhook=False)
        clinic.later(hours=25)
        clinic.run(sync)
        clinic.run(apply_zones)
        assert _instant(embedded.get(f"appointments/{name}") or {}) == _instant(visit)
        clinic.later(seconds=5)
        embedded.transact(lambda transaction: transaction.set(f"appointments/{name}", visit))
        settled(clinic)
        assert instants(embedded) == expected(clinic)


def test_a_zone_that_returns_before_the_other_was_applied_is_applied_again(embedded: Documents) -> None:
    """Meanwhile an appointment was written with the other one."""
    with in_zones("guide") as running:
        clinic = Clinic(running, embedded)
        clinic.run(sync)
        clinic.run(start)
        settled(clinic)
        doctor, *_ = running.truth("doctors")
        key = next(key for key, visit in running.truth("appointments").items() if str(visit["doctor"]) == doctor)
        running.change("doctors", doctor, {"timezone": PACIFIC}, webhook=False)
        clinic.later(hours=25)
        clinic.run(sync)
        running.change("appointments", key, {"reason": "moved"}, webhook=False)
        clinic.later(minutes=1)
        clinic.run(lambda run: sync(run, force=True))
        assert instants(embedded)[key] == expected(clinic)[key]
        running.change("doctors", doctor, {"timezone": EASTERN}, webhook=False)
        clinic.later(minutes=1)
        clinic.run(lambda run: sync(run, force=True))
        assert instants(embedded)[key] != expected(clinic)[key]
        settled(clinic)
        assert instants(embedded) == expected(clinic)


def test_a_long_walk_goes_on_where_the_last_run_stopped(documents: Documents, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zones, "CHUNK_RECORDS", 3)
    with in_zones("guide", patients=15) as running:
        clinic = Clinic(running, documents)
        clinic.run(start)
        clinic.run(sync)
        clinic.later(seconds=SETTLED.total_seconds() + 1)
        pages, runs, walked = 0, 0, zones.Zones.reschedule

        def reschedule(self: zones.Zones, *arguments: Any) -> Any:
            nonlocal pages
            pages += 1
            clinic.later(seconds=10)
            return walked(self, *arguments)

        monkeypatch.setattr(zones.Zones, "reschedule", reschedule)
        while True:
            runs += 1
            with suppress(Stopped):
                clinic.run(apply_zones, seconds=15)
                break
        assert instants(documents) == expected(clinic)
        visits = [str(visit["doctor"]) for visit in running.truth("appointments").values()]
        needed = sum(visits.count(doctor) // 3 + 1 for doctor in running.truth("doctors"))
        # And one look for each doctor whose id is written as text, which none is. A run that ends between the two looks
        # again at the last page.
        assert needed + 3 <= pages <= needed + 6
        assert runs > pages / 3


def test_when_nothing_is_new_no_appointment_is_read(embedded: Documents, monkeypatch: pytest.MonkeyPatch) -> None:
    with in_zones("guide", patients=3) as running:
        clinic = Clinic(running, embedded)
        clinic.run(sync)
        clinic.run(start)
        settled(clinic)

        def refused(self: zones.Zones, *arguments: Any) -> Any:
            raise AssertionError("nothing needs to be looked at")

        monkeypatch.setattr(zones.Zones, "reschedule", refused)
        for _ in range(3):
            clinic.later(hours=25)
            clinic.run(sync)
            settled(clinic)
        # Nor a doctor, until they are listed again.
        monkeypatch.setattr(zones.Zones, "of_doctors", refused)
        settled(clinic)


def test_a_zone_is_applied_ten_minutes_after_the_doctor_was_stored_and_no_earlier(embedded: Documents) -> None:
    with in_zones("guide", patients=3) as running:
        clinic = Clinic(running, embedded)
        clinic.run(start)
        clinic.run(sync)
        clinic.later(seconds=SETTLED.total_seconds() - 1)
        clinic.run(apply_zones)
        assert set(instants(embedded).values()) == {None}
        clinic.later(seconds=1)
        clinic.run(apply_zones)
        assert instants(embedded) == expected(clinic)


def test_a_doctor_that_appointments_name_by_text_is_found_too(embedded: Documents) -> None:
    with in_zones("guide", patients=1, appointments=0) as running:
        clinic = Clinic(running, embedded)
        doctor, *_ = running.truth("doctors")
        visits = [
            {"id": 1, "doctor": doctor, "scheduled_time": "2026-07-01T09:00:00"},
            {"id": 2, "doctor": int(doctor), "scheduled_time": "2026-07-01T09:00:00"},
        ]
        clinic.records.pages.store(KINDS["appointments"], visits, clinic.now(), Source("backfill"))
        clinic.run(sync)
        settled(clinic)
        assert list(instants(embedded).values()) == [datetime(2026, 7, 1, 13, tzinfo=timezone.utc)] * 2


@pytest.mark.parametrize(
    "state",
    [
        {"applied": "all", "walk": 7, "checked": "2026-01-01"},
        {"applied": {}, "walk": {"doctor": "1"}, "checked": datetime(2026, 1, 1)},  # noqa: DTZ001
        {"applied": None, "walk": {"doctor": "320101", "zone": EASTERN, "value": [], "after": "0"}, "checked": None},
    ],
)
def test_a_state_that_cannot_be_read_counts_as_not_done(embedded: Documents, state: Data) -> None:
    with in_zones("guide", patients=3) as running:
        clinic = Clinic(running, embedded)
        clinic.run(start)
        clinic.run(sync)
        embedded.transact(lambda transaction: transaction.set(zones.STATE, state))
        settled(clinic)
        assert instants(embedded) == expected(clinic)


@FORMS
def test_the_appointments_of_a_span_of_time_are_found_whatever_their_zones(documents: Documents, form: str) -> None:
    with in_zones(form) as running:
        clinic = Clinic(running, documents)
        clinic.run(sync)
        clinic.run(start)
        first = clinic.now() - timedelta(days=200)
        last = first + timedelta(days=230)
        where = [
            Where("_sync.deleted", "==", False),
            Where("_sync.scheduled_at", ">=", first),
            Where("_sync.scheduled_at", "<", last),
        ]
        found = [name for name, _ in documents.query("appointments", where, order_by=["_sync.scheduled_at"])]
        inside = {key: at for key, at in expected(clinic).items() if at is not None and first <= at < last}
        assert len(inside) > 3
        assert sorted(found) == sorted(inside)
        assert [inside[key] for key in found] == sorted(inside.values())
