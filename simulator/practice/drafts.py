"""New records, empty records, and plausible edits."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random
from typing import Any

from simulator.practice import appointments, chart, notes, patients, staff, vocabulary
from simulator.practice.kinds import APPOINTMENTS, KINDS, NOTES, PATIENTS
from simulator.practice.store import Fields


def blank(kind: str, *, live: bool) -> Fields:
    """Return a record in which each field has an empty value of its type."""
    if kind == PATIENTS:
        return patients.NEW_PATIENT
    if kind == APPOINTMENTS:
        return appointments.NEW_APPOINTMENT | ({"clinical_note": None} if live else {})
    sample = chart.MAKERS[kind](Random(0), 0, 0, 0, date(2000, 1, 1), live=live)
    empty: dict[type, Any] = {str: "", bool: False, list: []}
    return {name: empty.get(type(value)) for name, value in sample.items()} | {"status": "active"}


def draft(rng: Random, kind: str, today: date, *, live: bool, patient: int | None, doctor: int, office: int) -> Fields:
    """Return a generated record without its id."""
    if kind == PATIENTS:
        fields = patients.patient(rng, 0, doctor, office, today)
        return {**fields, "chart_id": "", "email": f"new.{rng.randrange(10**6)}@example.com"}
    if kind == APPOINTMENTS:
        day = today + timedelta(days=rng.randrange(1, 60))
        links = {"patient": patient, "doctor": doctor, "office": office}
        return blank(kind, live=live) | appointments.appointment(rng, 0, day, past=False, index=99, **links)
    return chart.MAKERS[kind](rng, 0, patient or 0, doctor, today, live=live)


def edit(rng: Random, kind: str, fields: Fields, *, live: bool) -> Fields:
    """Return a plausible edit of such a record. A random number ensures that the record really changes."""
    if kind == PATIENTS:
        return _edit_patient(rng, fields)
    if kind == APPOINTMENTS:
        if fields["patient"] is not None and rng.random() < 0.7:
            return {"status": rng.choice([status for status in appointments.STATUSES if status != fields["status"]])}
        return {"notes": f"Moved by phone, call {rng.randrange(10**6)}"}
    if kind == NOTES and live:
        first, *rest = fields["clinical_note_sections"]
        value = {**first["values"][0], "value": f"{notes.text(rng)} ({rng.randrange(10**6)})"}
        return {"clinical_note_sections": [{**first, "values": [value]}, *rest]}
    if kind == NOTES:
        changed = {rng.choice(vocabulary.SECTIONS): f"{notes.text(rng)} ({rng.randrange(10**6)})"}
        return {"sections": fields["sections"] | changed}
    if not KINDS[kind].clinical:
        return staff.edit(kind, rng, fields)
    return {"notes": f"Reviewed, entry {rng.randrange(10**6)}"}


def _edit_patient(rng: Random, fields: Fields) -> Fields:
    match rng.randrange(4):
        case 0:
            # There are few phone numbers, so the new one may equal the old one.
            phone = patients.phone(rng)
            return {"cell_phone": phone if phone != fields["cell_phone"] else ""}
        case 1:
            return {"email": f"changed.{rng.randrange(10**6)}@example.com"}
        case 2:
            city, state, zip_code = rng.choice(vocabulary.PLACES)
            address = f"{rng.randrange(1, 9999)} {rng.choice(vocabulary.STREETS)}"
            return {"address": address, "city": city, "state": state, "zip_code": zip_code}
        case _:
            return {"primary_insurance": patients.insurance(rng, fields)}
