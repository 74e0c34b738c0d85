"""Generated medications, problems and allergies, with the fields of DrChrono's API schema."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from random import Random

from simulator.practice import vocabulary
from simulator.practice.kinds import ALLERGIES, MEDICATIONS, PROBLEMS
from simulator.practice.store import Fields


def medication(rng: Random, number: int, patient: int, doctor: int, today: date, *, live: bool) -> Fields:
    name, rxnorm, ndc, quantity, units, route = rng.choice(vocabulary.DRUGS)
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
        "frequency": rng.choice(vocabulary.FREQUENCIES),
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
    if not live:  # the guide's field names, in addition to the real ones
        fields["status"] = "active" if active else "discontinued"
        fields["dose"] = f"{quantity} {units}"
        fields["dispense_as_written"] = fields["daw"]
    return fields


def problem(rng: Random, number: int, patient: int, doctor: int, today: date, *, live: bool) -> Fields:
    code, name, snomed = rng.choice(vocabulary.CODES)
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
    name, rxnorm, snomed_reaction, reaction = rng.choice(vocabulary.ALLERGENS)
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


def entries(rng: Random, per_patient: int) -> Sequence[int]:
    """Return a range of random length, `per_patient` on average: the entries of one kind of one patient."""
    return range(rng.randrange(2 * per_patient + 1))


MAKERS = {MEDICATIONS: medication, PROBLEMS: problem, ALLERGIES: allergy}
