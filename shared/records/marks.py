"""Queue entries for what may have changed together with a record. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from shared.drchrono.ids import id_of
from shared.drchrono.kinds import Kind, patient_of
from shared.drchrono.lag import is_older, provable_from
from shared.queue.entries import Entry, Priority, Target


def marks(kind: Kind, record: dict[str, Any], seen: datetime, now: datetime) -> list[Entry]:
    """Return an entry for each target that may have changed together with this record.

    seen: when the newest event of the record was received.
    """
    key, appointment = id_of(record.get("id")), id_of(record.get("appointment"))
    targets: list[Target] = []
    if kind.name == "appointments" and key and _may_have_note(record, now):
        targets.append(Target("clinical_notes", key, "appointment"))
    if kind.name == "clinical_notes" and "locked" not in record and appointment:
        # Live, only the appointment shows the lock, the PDF and the time of its note, and no event announces them.
        targets.append(Target("appointments", appointment))
    if patient := patient_of(kind, record):
        targets += [Target(child, patient, "patient") for child in kind.children]
    return [mark(target, seen) for target in targets]


def marks_of_patient(kind: Kind, key: str, now: datetime) -> list[Entry]:
    """Return entries for the lists of a patient who is deleted, or exists again. Reading these marks their records.

    now: close to the write of the patient. A list that was read before that write must not complete the entry.
    """
    lists = kind.children if kind.name == "patients" else ()
    return [mark(Target(child, key, "patient"), now) for child in lists]


def mark(target: Target, seen: datetime) -> Entry:
    return Entry(target, "follows", Priority.CHILDREN, seen, seen, due=provable_from(seen))


def _may_have_note(record: dict[str, Any], now: datetime) -> bool:
    """A live verbose appointment names its note. In the guide's form it does not; a note then begins with the visit."""
    if "clinical_note" in record:
        return bool(record["clinical_note"])
    tomorrow = (now + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S")  # local times are at most 14 h off UTC
    return not is_older(tomorrow, record.get("scheduled_time"))
