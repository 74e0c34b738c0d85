"""What people at the practice write: new records, empty forms, and edits."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random
from typing import Any

from simulator import charts, people, words
from simulator.kinds import ALLERGIES, APPOINTMENTS, MEDICATIONS, NOTES, PATIENTS, PROBLEMS
from simulator.store import Fields

CHART = {MEDICATIONS: charts.medication, PROBLEMS: charts.problem, ALLERGIES: charts.allergy}


def blank(kind: str, *, live: bool) -> Fields:
    """A record of which nothing is known yet: its fields, each with an empty value of its type."""
    if kind == PATIENTS:
        return people.NEW_PATIENT
    if kind == APPOINTMENTS:
        return charts.NEW_APPOINTMENT | ({"clinical_note": None} if live else {})
    sample = CHART[kind](Random(0), 0, 0, 0, date(2000, 1, 1), live=live)
    empty: dict[type, Any] = {str: "", bool: False, list: []}
    return {name: empty.get(type(value)) for name, value in sample.items()} | {"status": "active"}


def draft(rng: Random, kind: str, today: date, *, live: bool, patient: int | None, doctor: int, office: int) -> Fields:
    """A made-up new record, all but its id."""
    if kind == PATIENTS:
        fields = people.patient(rng, 0, doctor, office, today)
        return {**fields, "chart_id": "", "email": f"new.{rng.randrange(10**6)}@example.com"}
    if kind == APPOINTMENTS:
        day = today + timedelta(days=rng.randrange(1, 60))
        links = {"patient": patient, "doctor": doctor, "office": office}
        return blank(kind, live=live) | charts.appointment(rng, 0, day, past=False, index=99, **links)
    return CHART[kind](rng, 0, patient or 0, doctor, today, live=live)


def edit(rng: Random, kind: str, fields: Fields, *, live: bool) -> Fields:
    """What somebody at the desk might change in such a record. It does change: numbers keep it from being the same."""
    if kind == PATIENTS:
        return _edit_patient(rng, fields)
    if kind == APPOINTMENTS:
        if fields["patient"] is not None and rng.random() < 0.7:
            return {"status": rng.choice([status for status in charts.STATUSES if status != fields["status"]])}
        return {"notes": f"Moved by phone, call {rng.randrange(10**6)}"}
    if kind == NOTES and live:
        first, *rest = fields["clinical_note_sections"]
        value = {**first["values"][0], "value": f"{charts.text(rng)} ({rng.randrange(10**6)})"}
        return {"clinical_note_sections": [{**first, "values": [value]}, *rest]}
    if kind == NOTES:
        changed = {rng.choice(words.SECTIONS): f"{charts.text(rng)} ({rng.randrange(10**6)})"}
        return {"sections": fields["sections"] | changed}
    return {"notes": f"Reviewed, entry {rng.randrange(10**6)}"}


def _edit_patient(rng: Random, fields: Fields) -> Fields:
    match rng.randrange(4):
        case 0:
            # A number that differs from the one before: there are few enough to meet the same one again.
            phone = people.phone(rng)
            return {"cell_phone": phone if phone != fields["cell_phone"] else ""}
        case 1:
            return {"email": f"changed.{rng.randrange(10**6)}@example.com"}
        case 2:
            city, state, zip_code = rng.choice(words.PLACES)
            address = f"{rng.randrange(1, 9999)} {rng.choice(words.STREETS)}"
            return {"address": address, "city": city, "state": state, "zip_code": zip_code}
        case _:
            return {"primary_insurance": people.insurance(rng, fields)}
