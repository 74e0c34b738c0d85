"""Appointments, clinical notes, medications, problems and allergies, in the guide's or the live service's fields."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

from simulator import words
from simulator.store import SIGNATURE_MARK, Fields

# The guide's list of statuses, in its order. (The live service adds "Checked In Online" and custom ones.)
STATUSES = (
    *("", "Arrived", "Checked In", "In Room", "Cancelled", "Complete"),
    *("Confirmed", "In Session", "No Show", "Not Confirmed", "Rescheduled"),
)
_OVER = ("Complete", "Complete", "Complete", "Complete", "No Show", "Cancelled", "Rescheduled")
_AHEAD = ("", "Confirmed", "Confirmed", "Not Confirmed", "Cancelled")

NEW_APPOINTMENT: Fields = {
    "id": 0,
    "patient": None,
    "doctor": 0,
    "office": 0,
    "exam_room": 1,
    "scheduled_time": "",
    "duration": 30,
    "status": "",
    "custom_status": "",
    "reason": "",
    "notes": "",
    "color": "",
    "profile": None,
    "icd9_codes": [],
    "icd10_codes": [],
    "billing_status": "",
    "billing_notes": [],
    "billing_provider": None,
    "supervising_provider": None,
    "payment_profile": "",
    "ins1_status": "",
    "ins2_status": "",
    "primary_insurer_name": "",
    "primary_insurer_payer_id": "",
    "primary_insurance_id_number": "",
    "secondary_insurer_name": "",
    "secondary_insurer_payer_id": "",
    "secondary_insurance_id_number": "",
    "first_billed_date": None,
    "last_billed_date": None,
    "first_edi_date": None,
    "last_edi_date": None,
    "resubmit_claim_original_id": None,
    "reminder_profile": None,
    "is_walk_in": False,
    "is_virtual_base": False,
    "appt_is_break": False,
    "allow_overlapping": False,
    "recurring_appointment": False,
    "recurring_days": [],
    "recurs_every": None,
    "recur_start_date": None,
    "recur_end_date": None,
    "base_recurring_appointment": None,
    "recurrence_instance_key": None,
    "cloned_from": None,
    "created_by": None,
    "deleted_flag": False,
    "created_at": "",
    "updated_at": "",
    "vitals": {},
    "custom_vitals": [],
    "custom_fields": [],
    "reminders": [],
    "status_transitions": [],
    "extended_updated_at": "",
}


def appointment(rng: Random, key: int | str, day: date, *, past: bool, index: int, **links: Any) -> Fields:
    """One appointment on `day`; `links` are patient (None: a break), doctor and office."""
    time = datetime(day.year, day.month, day.day, rng.randrange(8, 17), rng.choice((0, 15, 30, 45)))  # noqa: DTZ001 - local
    fields = {
        **NEW_APPOINTMENT,
        "id": key,
        **links,
        "exam_room": rng.choice((1, 2, 3)),
        "scheduled_time": time.isoformat(),
        "duration": rng.choice((15, 30, 30, 45, 60)),
        # The first of all go through every status there is, so that each is there however few are made.
        "status": STATUSES[index] if index < len(STATUSES) else rng.choice(_OVER if past else _AHEAD),
        "reason": rng.choice(words.REASONS),
        "profile": rng.choice((None, 51_001, 51_002)),
    }
    if links["patient"] is None:
        fields |= {"appt_is_break": True, "status": "", "reason": "Lunch", "profile": None}
    elif fields["status"] == "Complete":
        fields["icd10_codes"] = [rng.choice(words.CODES)[0]]
        fields["billing_status"] = rng.choice(("", "Bill Insurance", "Settled"))
        fields["vitals"] = {
            "blood_pressure_1": rng.randrange(105, 150),
            "blood_pressure_2": rng.randrange(65, 95),
            "pulse": rng.randrange(55, 100),
            "temperature": f"{rng.uniform(97, 100):.1f}",
            "weight": f"{rng.uniform(110, 260):.1f}",
        }
    return fields


def guide_note(rng: Random, number: int, visit: Fields, *, locked: bool) -> Fields:
    """A clinical note as the guide's table has it, with the times that its `since` lists are about."""
    return {
        "id": number,
        "appointment": visit["id"],
        "patient": visit["patient"],
        "doctor": visit["doctor"],
        "date": visit["scheduled_time"][:10],
        "locked": locked,
        "sections": {name: text(rng) for name in words.SECTIONS},
        "created_at": "",
        "updated_at": "",
    }


def live_note(rng: Random, number: int, visit: Fields, *, locked: bool) -> Fields:
    """A clinical note as DrChrono's schema has it: no id, no times; its lock shows in `signee` and on the visit."""
    return {
        "appointment": str(visit["id"]),
        "patient": str(visit["patient"]),
        "archived": False,
        "signee": signee(visit["doctor"] if locked else None),
        "clinical_note_sections": [
            {
                "name": name,
                "clinical_note_template": 610_001 + index,
                "values": [
                    {"id": number * 10 + index, "clinical_note_field": 620_001 + index, "value": text(rng)},
                ],
            }
            for index, name in enumerate(words.SECTIONS)
        ],
    }


def signee(doctor: int | None) -> Fields:
    return {"locked_by": doctor, "supervisor_locked_by": None}


def note_of_visit(visit_key: str, *, locked: bool, updated_at: str) -> Fields:
    """What a verbose appointment of the live form says about its note. The link is signed anew in every answer."""
    pdf = f"https://notes.drchrono.example/{visit_key}.pdf{SIGNATURE_MARK}"
    return {"locked": locked, "pdf": pdf, "updated_at": updated_at}


def text(rng: Random) -> str:
    return " ".join(rng.sample(words.SENTENCES, rng.randrange(1, 4)))


def medication(rng: Random, number: int, patient: int, doctor: int, today: date, *, live: bool) -> Fields:
    name, rxnorm, ndc, quantity, units, route = rng.choice(words.DRUGS)
    started = today - timedelta(days=rng.randrange(10, 900))
    active = rng.random() < 0.75
    fields = {
        "id": number,
        "patient": patient,
        "doctor": doctor,
        "appointment": None,
        "name": name,
        "rxnorm": rxnorm,
        "ndc": ndc,
        "dosage_quantity": quantity,
        "dosage_units": units,
        "frequency": rng.choice(words.FREQUENCIES),
        "route": route,
        "indication": "",
        "status": "active" if active else "inactive",
        "order_status": rng.choice(("", "Ordered", "Paper Rx", "Electronic eRx Sent")) if active else "Discontinued",
        "daw": rng.random() < 0.1,
        "prn": False,
        "dispense_quantity": float(rng.choice((30, 60, 90))),
        "number_refills": rng.randrange(4),
        "date_prescribed": started.isoformat(),
        "date_started_taking": started.isoformat(),
        "date_stopped_taking": None if active else (started + timedelta(days=9)).isoformat(),
        "notes": "",
        "pharmacy_note": "",
        "signature_note": "",
    }
    if not live:  # the guide's own names beside the real ones
        fields["status"] = "active" if active else "discontinued"
        fields["dose"] = f"{quantity} {units}"
        fields["dispense_as_written"] = fields["daw"]
    return fields


def problem(rng: Random, number: int, patient: int, doctor: int, today: date, *, live: bool) -> Fields:
    code, name, snomed = rng.choice(words.CODES)
    onset = today - timedelta(days=rng.randrange(30, 4000))
    return {
        "id": number,
        "patient": patient,
        "doctor": doctor,
        "appointment": None,
        "name": name,
        "description": name,
        "icd_code": code,
        "icd_version": "10",
        "snomed_ct_code": snomed,
        "category": "",
        "problem_type": "",
        "status": rng.choice(("active", "active", "active", "resolved")),
        "verification_status": "confirmed",
        "date_onset": onset.isoformat(),
        "date_diagnosis": onset.isoformat(),
        "date_changed": onset.isoformat(),
        "abatement_date": None,
        "info_url": f"https://info.drchrono.example/{code}",
        "notes": "",
    }


def allergy(rng: Random, number: int, patient: int, doctor: int, today: date, *, live: bool) -> Fields:
    name, rxnorm, snomed_reaction, reaction = rng.choice(words.ALLERGENS)
    return {
        "id": number,
        "patient": patient,
        "doctor": doctor,
        "description": name,
        "reaction": reaction,
        "snomed_reaction": snomed_reaction,
        "snomed_code": "",
        "rxnorm": rxnorm,
        "status": "active",
        "verification_status": rng.choice(("confirmed", "unconfirmed")),
        "notes": "",
    }


def children(rng: Random, per_patient: int) -> Sequence[int]:
    """How many of one kind a patient has: `per_patient` on average."""
    return range(rng.randrange(2 * per_patient + 1))
