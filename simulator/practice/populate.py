"""Generates the initial records: seeded, linked, and spread over the time before the clock's start."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random

from simulator.practice import appointments, chart, notes, patients
from simulator.practice.clinic import Clinic
from simulator.practice.kinds import APPOINTMENTS, NOTES, PATIENTS
from simulator.practice.store import Fields, Record

_DAY = 86_400.0
_BREAK_EVERY = 25
_RECURRENCE_EVERY = 40


def populate(clinic: Clinic) -> None:
    """Create as many records as configured."""
    config = clinic.config
    rng = Random(f"{config.seed} practice")
    now = clinic.clock.now()
    today = clinic.local.day(now)
    people = [_patient(clinic, rng, now, today) for _ in range(config.patients)]
    visits = [] if not people else _appointments(clinic, rng, people, now, today)
    _notes(clinic, rng, visits, now, today)
    if people:
        _add_odd_appointments(clinic, people, now)
    for kind, make in chart.MAKERS.items():
        for patient in people:
            for _ in chart.entries(rng, config.children_of.get(kind, config.children)):
                number = clinic.ids.next(kind)
                fields = make(rng, number, patient["id"], patient["doctor"], today, live=config.live)
                clinic.add(kind, fields, created=now - _DAY, updated=now - _DAY)


def _patient(clinic: Clinic, rng: Random, now: float, today: date) -> Fields:
    doctor, office = rng.choice(clinic.doctors)["id"], rng.choice(clinic.offices)["id"]
    fields = patients.patient(rng, clinic.ids.next(PATIENTS), doctor, office, today)
    updated = now - rng.uniform(60, 365 * _DAY)
    return clinic.add(PATIENTS, fields, created=updated - rng.uniform(0, 700 * _DAY), updated=updated).current.fields


def _appointments(clinic: Clinic, rng: Random, people: list[Fields], now: float, today: date) -> list[Record]:
    config = clinic.config
    count = 2 * len(people) if config.appointments is None else config.appointments
    return [_appointment(clinic, rng, index, rng.choice(people), now, today) for index in range(count)]


# Times of appointments that no window of dates holds.
_ODD_TIMES = ("2004-05-06T09:00:00", "2041-05-06T09:00:00", "", None)


def _add_odd_appointments(clinic: Clinic, people: list[Fields], now: float) -> None:
    """A source of its own, so that the other records stay as they are."""
    rng = Random(f"{clinic.config.seed} odd appointments")
    today = clinic.local.day(now)
    for index in range(clinic.config.odd_appointments):
        visit = _appointment(clinic, rng, 0, rng.choice(people), now, today)
        # In place: nothing has read the record yet.
        visit.current.fields["scheduled_time"] = _ODD_TIMES[index % len(_ODD_TIMES)]


def _appointment(clinic: Clinic, rng: Random, index: int, patient: Fields, now: float, today: date) -> Record:
    day = today + timedelta(days=rng.randrange(-365, 91))
    # Past appointments were last changed around their day, future ones within the last month.
    age = min(max((today - day).days, 0) + rng.uniform(0, 30), 365)
    updated = now - 60 - age * _DAY
    is_break = index % _BREAK_EVERY == _BREAK_EVERY - 1
    key: int | str = clinic.ids.next(APPOINTMENTS)
    recurrence: Fields = {}
    if clinic.config.live:
        key = str(key)
        recurrence["clinical_note"] = None
        if index % _RECURRENCE_EVERY == _RECURRENCE_EVERY - 1:
            # "Usually numeric, not always": the id of a virtual occurrence consists of its series and day.
            recurrence |= {"base_recurring_appointment": key, "recurring_appointment": True}
            key = f"{key}_{day.isoformat()}"
            # Documented as {root series}_{YYYYMMDD}.
            recurrence["recurrence_instance_key"] = f"{recurrence['base_recurring_appointment']}_{day:%Y%m%d}"
    links = {"doctor": patient["doctor"], "office": patient["offices"][0]}
    links["patient"] = None if is_break else patient["id"]
    fields = appointments.appointment(rng, key, day, past=day < today, index=index, **links) | recurrence
    if not is_break:
        # In-place changes are safe here only, since nothing has read the patient yet.
        patient["date_of_first_appointment"] = min(patient["date_of_first_appointment"] or "9", day.isoformat())
        patient["date_of_last_appointment"] = max(patient["date_of_last_appointment"] or "", day.isoformat())
    return clinic.add(APPOINTMENTS, fields, created=updated - rng.uniform(0, 60 * _DAY), updated=updated)


def _notes(clinic: Clinic, rng: Random, visits: list[Record], now: float, today: date) -> None:
    def is_past(visit: Record) -> bool:
        fields = visit.current.fields
        return fields["patient"] is not None and fields["scheduled_time"][:10] < today.isoformat()

    candidates = [visit for visit in visits if is_past(visit)]
    completed = [visit for visit in candidates if visit.current.fields["status"] == "Complete"]
    if clinic.config.notes is None:
        chosen = completed[::2]
    else:
        others = [visit for visit in candidates if visit.current.fields["status"] != "Complete"]
        chosen = (completed + others)[: clinic.config.notes]
    make = notes.live_note if clinic.config.live else notes.guide_note
    for visit in chosen:
        number = clinic.ids.next(NOTES)
        fields = make(rng, number, visit.current.fields, locked=rng.random() < 0.6)
        written = min(visit.current.updated_at + rng.uniform(0, _DAY), now - 30)
        clinic.add(NOTES, fields, created=written, updated=written)
