"""Generated appointments, with the fields of DrChrono's API schema."""

from __future__ import annotations

from datetime import date, datetime
from random import Random
from typing import Any

from simulator.practice import vocabulary
from simulator.practice.staff import PROFILE_IDS
from simulator.practice.store import Fields

# The statuses of the guide, in its order. The live service adds "Checked In Online" and custom statuses.
STATUSES = (
    *("", "Arrived", "Checked In", "In Room", "Cancelled", "Complete"),
    *("Confirmed", "In Session", "No Show", "Not Confirmed", "Rescheduled"),
)
_PAST = ("Complete", "Complete", "Complete", "Complete", "No Show", "Cancelled", "Rescheduled")
_FUTURE = ("", "Confirmed", "Confirmed", "Not Confirmed", "Cancelled")

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
    """Return an appointment on `day`. `links` are patient (None for a break), doctor and office."""
    time = datetime(day.year, day.month, day.day, rng.randrange(8, 17), rng.choice((0, 15, 30, 45)))  # noqa: DTZ001 - local
    fields = {
        **NEW_APPOINTMENT,
        "id": key,
        **links,
        "exam_room": rng.choice((1, 2, 3)),
        "scheduled_time": time.isoformat(),
        "duration": rng.choice((15, 30, 30, 45, 60)),
        # The first appointments use each status in turn, so that every status occurs in a small practice too.
        "status": STATUSES[index] if index < len(STATUSES) else rng.choice(_PAST if past else _FUTURE),
        "reason": rng.choice(vocabulary.REASONS),
        "profile": rng.choice((None, *PROFILE_IDS)),
    }
    if links["patient"] is None:
        fields |= {"appt_is_break": True, "status": "", "reason": "Lunch", "profile": None}
    elif fields["status"] == "Complete":
        fields["icd10_codes"] = [rng.choice(vocabulary.CODES)[0]]
        fields["billing_status"] = rng.choice(("", "Bill Insurance", "Settled"))
        fields["vitals"] = {
            "blood_pressure_1": rng.randrange(105, 150),
            "blood_pressure_2": rng.randrange(65, 95),
            "pulse": rng.randrange(55, 100),
            "temperature": f"{rng.uniform(97, 100):.1f}",
            "weight": f"{rng.uniform(110, 260):.1f}",
        }
    return fields
