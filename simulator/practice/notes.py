"""Generated clinical notes, with the fields of the guide or of the live service."""

from __future__ import annotations

from random import Random
from urllib.parse import quote

from simulator.practice import vocabulary
from simulator.practice.store import SIGNATURE_MARK, Fields


def guide_note(rng: Random, number: int, appointment: Fields, *, locked: bool) -> Fields:
    """Return a note with the fields of the guide's table, and the timestamps that its `since` filter needs."""
    return {
        "id": number,
        "appointment": appointment["id"],
        "patient": appointment["patient"],
        "doctor": appointment["doctor"],
        "date": (appointment["scheduled_time"] or "")[:10],
        "locked": locked,
        "sections": {name: text(rng) for name in vocabulary.SECTIONS},
        "created_at": "",
        "updated_at": "",
    }


def live_note(rng: Random, number: int, appointment: Fields, *, locked: bool) -> Fields:
    """Return a note with the fields of DrChrono's schema.

    It has no id and no timestamps. Its lock is shown in `signee` and on the appointment.
    """
    return {
        "appointment": str(appointment["id"]),
        "patient": str(appointment["patient"]),
        "archived": False,
        "signee": signee(appointment["doctor"] if locked else None),
        "clinical_note_sections": [
            {
                "name": name,
                "clinical_note_template": 610_001 + index,
                "values": [
                    {"id": number * 10 + index, "clinical_note_field": 620_001 + index, "value": text(rng)},
                ],
            }
            for index, name in enumerate(vocabulary.SECTIONS)
        ],
    }


def signee(doctor: int | None) -> Fields:
    return {"locked_by": doctor, "supervisor_locked_by": None}


def note_of_appointment(appointment_key: str, *, locked: bool, updated_at: str) -> Fields:
    """Return the `clinical_note` field of a live verbose appointment. Each response signs the PDF link anew."""
    pdf = f"https://notes.drchrono.example/{quote(appointment_key, safe='')}.pdf{SIGNATURE_MARK}"
    return {"locked": locked, "pdf": pdf, "updated_at": updated_at}


def text(rng: Random) -> str:
    return " ".join(rng.sample(vocabulary.SENTENCES, rng.randrange(1, 4)))
