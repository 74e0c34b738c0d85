"""Generated patients, with the fields of DrChrono's API schema."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random

from simulator.practice import vocabulary
from simulator.practice.store import Fields

_NO_INSURANCE: Fields = {
    "insurance_company": "",
    "insurance_id_number": "",
    "insurance_group_name": "",
    "insurance_group_number": "",
    "insurance_payer_id": "",
    "insurance_plan_name": "",
    "insurance_plan_type": "",
    "insurance_claim_office_number": "",
    "is_subscriber_the_patient": True,
    "patient_relationship_to_subscriber": "",
    "subscriber_first_name": "",
    "subscriber_last_name": "",
    "subscriber_date_of_birth": None,
    "subscriber_gender": "",
    "photo_front": None,
    "photo_back": None,
}
_NO_CASE: Fields = {
    "insurance_company": "",
    "insurance_case_number": "",
    "date_of_accident": None,
    "state_of_occurrence": "",
}
_NO_REFERRAL: Fields = {"first_name": "", "last_name": "", "npi": "", "email": "", "phone": "", "fax": ""}

NEW_PATIENT: Fields = {
    "id": 0,
    "chart_id": "",
    "first_name": "",
    "middle_name": "",
    "last_name": "",
    "nick_name": "",
    "date_of_birth": None,
    "gender": "",
    "pronouns": "",
    "gender_identity_code": "",
    "gender_identity_description": "",
    "social_security_number": "",
    "race": "blank",
    "race_subcategories": [],
    "ethnicity": "blank",
    "preferred_language": "blank",
    "preferred_language_code": "",
    "preferred_language_description": "",
    "email": "",
    "cell_phone": "",
    "home_phone": "",
    "office_phone": "",
    "disable_sms_messages": False,
    "address": "",
    "city": "",
    "state": "",
    "zip_code": "",
    "doctor": 0,
    "offices": [],
    "primary_care_physician": "",
    "patient_status": "A",
    "patient_photo": None,
    "patient_photo_date": None,
    "patient_payment_profile": "Cash",
    "copay": "",
    "medication_history_consent": "Unspecified",
    "default_pharmacy": "",
    "preferred_pharmacies": [],
    "emergency_contact_name": "",
    "emergency_contact_phone": "",
    "emergency_contact_relation": "",
    "responsible_party_name": "",
    "responsible_party_relation": "",
    "responsible_party_phone": "",
    "responsible_party_email": "",
    "employer": "",
    "employer_address": "",
    "employer_city": "",
    "employer_state": "",
    "employer_zip_code": "",
    "referring_source": "",
    "date_of_first_appointment": None,
    "date_of_last_appointment": None,
    "date_of_death": None,
    "created_at": "",
    "updated_at": "",
    "primary_insurance": _NO_INSURANCE,
    "secondary_insurance": _NO_INSURANCE,
    "tertiary_insurance": _NO_INSURANCE,
    "auto_accident_insurance": _NO_CASE,
    "workers_comp_insurance": _NO_CASE,
    "custom_demographics": [],
    "patient_flags": [],
    "patient_flags_attached": [],
    "referring_doctor": _NO_REFERRAL,
}


def chart_id(first_name: str, last_name: str, number: int) -> str:
    """Return a chart id in DrChrono's format AAAA000000: two letters of each name, and a number."""
    letters = "".join(
        (name.encode("ascii", "ignore").decode().replace("'", "") + "XX")[:2] for name in (first_name, last_name)
    )
    return f"{letters.upper()}{number % 1_000_000:06d}"


def phone(rng: Random) -> str:
    # 555-01xx is kept free for made-up numbers.
    return f"({rng.choice((301, 410, 443, 667))}) 555-01{rng.randrange(100):02d}"


def insurance(rng: Random, subscriber: Fields) -> Fields:
    """One policy, as nested in a verbose patient."""
    company, payer = rng.choice(vocabulary.INSURERS)
    own = rng.random() < 0.8
    return {
        **_NO_INSURANCE,
        "insurance_company": company,
        "insurance_payer_id": payer,
        "insurance_id_number": f"W{rng.randrange(10**9):09d}",
        "insurance_group_number": f"{rng.randrange(10**5):05d}",
        "insurance_plan_name": rng.choice(("PPO Choice", "HMO Basic", "Gold 80", "Silver 70")),
        "is_subscriber_the_patient": own,
        "patient_relationship_to_subscriber": "" if own else rng.choice(("Spouse", "Child")),
        "subscriber_first_name": subscriber["first_name"] if own else rng.choice(vocabulary.FEMALE_NAMES),
        "subscriber_last_name": subscriber["last_name"],
    }


def patient(rng: Random, number: int, doctor: int, office: int, today: date) -> Fields:
    """Return a patient with the id `number`. The caller sets `created_at` and `updated_at`."""
    female = rng.random() < 0.52
    first = rng.choice(vocabulary.FEMALE_NAMES if female else vocabulary.MALE_NAMES)
    last = rng.choice(vocabulary.LAST_NAMES)
    city, state, zip_code = rng.choice(vocabulary.PLACES)
    fields = {
        **NEW_PATIENT,
        "id": number,
        "chart_id": chart_id(first, last, number),
        "first_name": first,
        "last_name": last,
        "date_of_birth": (today - timedelta(days=rng.randrange(365, 33_000))).isoformat(),
        "gender": "Female" if female else "Male",
        "race": rng.choice(("blank", "white", "black", "asian", "other", "declined")),
        "ethnicity": rng.choice(("blank", "hispanic", "not_hispanic", "declined")),
        "preferred_language": rng.choice(("eng", "eng", "spa", "zho", "blank")),
        "email": f"{first}.{last}.{number}@example.com".lower().replace("'", ""),
        "cell_phone": phone(rng),
        "home_phone": phone(rng) if rng.random() < 0.3 else "",
        "address": f"{rng.randrange(1, 9999)} {rng.choice(vocabulary.STREETS)}",
        "city": city,
        "state": state,
        "zip_code": zip_code,
        "doctor": doctor,
        "offices": [office],
        "emergency_contact_name": f"{rng.choice(vocabulary.MALE_NAMES)} {last}",
        "emergency_contact_phone": phone(rng),
        "emergency_contact_relation": rng.choice(vocabulary.RELATIONS),
        "referring_source": rng.choice(vocabulary.REFERRALS),
    }
    if rng.random() < 0.85:
        fields["primary_insurance"] = insurance(rng, fields)
        fields["patient_payment_profile"] = "Insurance"
        fields["copay"] = rng.choice(("10.00", "25.00", "40.00"))
    if rng.random() < 0.1:
        fields["secondary_insurance"] = insurance(rng, fields)
    return fields
