"""The table of the fields that may be written, and the values that each accepts. Pure.

Names, types, choices and what is read-only: DrChrono's OpenAPI schema of 2026-08. Left out beside the read-only ones:
`clinical_note` (notes are written through their own field values) and `patient_photo` (it takes an upload, not JSON).
Statuses are not checked: a practice has its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from shared.drchrono.ids import id_of

OFFSET_REMEDY = "give the local time without an offset or Z, or scheduled_at with one"

_LOCAL_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_OFFSET = re.compile(r".*\d(Z|[+-]\d{2}:?\d{2})", re.ASCII | re.IGNORECASE)
_CHART_ID = re.compile(r"[A-Z]{4}\d{6}", re.ASCII)


@dataclass(frozen=True)
class Field:
    """complaint: what is wrong with a value, without repeating it; None if nothing is. null: whether null clears."""

    complaint: Callable[[Any], str | None]
    null: bool = False


def _text(value: Any) -> str | None:
    return None if isinstance(value, str) else "give a text"


def _integer(value: Any) -> str | None:
    return None if isinstance(value, int) and not isinstance(value, bool) else "give a whole number"


def _boolean(value: Any) -> str | None:
    return None if isinstance(value, bool) else "give true or false"


def _object(value: Any) -> str | None:
    return None if isinstance(value, Mapping) else "give an object"


def _array(value: Any) -> str | None:
    return None if isinstance(value, list) else "give a list"


def _reference(value: Any) -> str | None:
    return None if id_of(value) is not None else "give the id of a record"


def _date(value: Any) -> str | None:
    remedy = "give a date like 2026-03-10"
    if not isinstance(value, str) or not _DATE.fullmatch(value):
        return remedy
    try:
        date.fromisoformat(value)
    except ValueError:
        return remedy
    return None


def local_time(value: Any) -> str | None:
    """DrChrono's local times have no offset. It ignores an offset, which would move the appointment, or refuses it."""
    remedy = "give a local time like 2026-03-10T09:00:00"
    if not isinstance(value, str):
        return remedy
    if _OFFSET.fullmatch(value):
        return OFFSET_REMEDY
    if not _LOCAL_TIME.fullmatch(value):
        return remedy
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return remedy
    return None


def _chart_id(value: Any) -> str | None:
    """The live form. If it is omitted, DrChrono makes one."""
    right = isinstance(value, str) and _CHART_ID.fullmatch(value)
    return None if right else "four capital letters and six digits (AAAA000000)"


def _choice(*choices: str) -> Field:
    said = ", ".join(choice or '""' for choice in choices)
    return Field(lambda value: None if value in choices and isinstance(value, str) else f"one of {said}")


def _fields(field: Field, names: str) -> dict[str, Field]:
    return dict.fromkeys(names.split(), field)


TEXT, OBJECT, ARRAY, BOOLEAN = Field(_text), Field(_object), Field(_array), Field(_boolean)
NUMBER, SOME_NUMBER = Field(_integer), Field(_integer, null=True)
DATE, REFERENCE, SOME_REFERENCE = Field(_date, null=True), Field(_reference), Field(_reference, null=True)

WRITABLE: Mapping[str, Mapping[str, Field]] = {
    "patients": {
        **_fields(
            TEXT,
            "first_name middle_name last_name nick_name email cell_phone home_phone office_phone address city state "
            "zip_code social_security_number copay medication_history_consent primary_care_physician default_pharmacy "
            "referring_source emergency_contact_name emergency_contact_phone emergency_contact_relation "
            "responsible_party_name responsible_party_relation responsible_party_phone responsible_party_email "
            "employer employer_address employer_city employer_state employer_zip_code",
        ),
        **_fields(
            DATE,
            "date_of_birth date_of_first_appointment date_of_last_appointment date_of_death patient_photo_date",
        ),
        **_fields(
            OBJECT,
            "primary_insurance secondary_insurance tertiary_insurance auto_accident_insurance "
            "workers_comp_insurance referring_doctor",
        ),
        **_fields(ARRAY, "offices preferred_pharmacies race_subcategories custom_demographics patient_flags_attached"),
        "doctor": NUMBER,
        "chart_id": Field(_chart_id),
        "disable_sms_messages": BOOLEAN,
        "gender": _choice("", "Male", "Female", "Other", "UNK", "ASKU"),
        "patient_status": _choice("A", "I", "D"),
        "ethnicity": _choice("blank", "hispanic", "not_hispanic", "declined"),
        "race": _choice("blank", "indian", "asian", "black", "hawaiian", "white", "other", "declined"),
        "preferred_language": _choice(
            *("blank", "eng", "zho", "fra", "ita", "jpn", "por", "rus", "spa", "other", "unknown", "declined")
        ),
        "pronouns": _choice(
            *("", "LA29518-0", "LA29519-8", "LA29520-6", "LA29523-0", "LA29521-4"),
            *("LA29515-6", "LA29516-4", "LA29517-2", "LA29522-2", "LA29524-8"),
        ),
        "patient_payment_profile": _choice(
            "", "Cash", "Insurance", "Insurance Out of Network", "Auto Accident", "Worker's Comp"
        ),
    },
    "appointments": {
        **_fields(
            TEXT, "status custom_status reason notes color billing_status payment_profile ins1_status ins2_status"
        ),
        **_fields(NUMBER, "doctor office exam_room duration"),
        **_fields(SOME_NUMBER, "recurs_every resubmit_claim_original_id"),
        **_fields(SOME_REFERENCE, "patient profile billing_provider supervising_provider reminder_profile cloned_from"),
        **_fields(BOOLEAN, "appt_is_break is_walk_in allow_overlapping recurring_appointment"),
        **_fields(DATE, "recur_start_date recur_end_date"),
        **_fields(ARRAY, "icd9_codes icd10_codes recurring_days custom_fields custom_vitals"),
        "vitals": OBJECT,
        "scheduled_time": Field(local_time),
    },
}

# Of a creation. An appointment also needs a duration or a profile; `patient: null` makes a break.
REQUIRED: Mapping[str, tuple[str, ...]] = {
    "patients": ("gender", "doctor"),
    "appointments": ("doctor", "office", "exam_room", "patient", "scheduled_time"),
}
