"""Read access to the records of the practice."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from simulator.practice.kinds import APPOINTMENTS, DOCTORS, NOTES, OFFICES, PATIENTS
from simulator.practice.store import Fields, Record, Store, Version


class NoSuchRecordError(LookupError):
    """There is no such record, or no record that the requested change applies to."""


class Lookup:
    """Finds records, and what they refer to."""

    def __init__(self, store: Store, rng: Random, *, live: bool) -> None:
        self.store, self.rng, self._live = store, rng, live
        self.noted: set[str] = set()
        """Keys of the appointments that have or had a clinical note. There is never a second note."""

    @property
    def doctors(self) -> list[Fields]:
        """The doctors' fields."""
        return [record.current.fields for record in self.store.existing(DOCTORS)]

    @property
    def offices(self) -> list[Fields]:
        """The offices' fields."""
        return [record.current.fields for record in self.store.existing(OFFICES)]

    def find(self, kind: str, key: object) -> Record:
        record = self.store.get(kind, key)
        if record is None:
            raise NoSuchRecordError(f"there is no {kind} {key}")
        return record

    def pick(self, kind: str, suits: Callable[[Record], bool] = lambda record: True) -> Record:
        """Return a random existing record for which `suits` is true."""
        records = self.store.in_order[kind]
        for _ in range(20 if records else 0):  # nearly always enough, without a scan of all records
            record = self.rng.choice(records)
            if record.exists and suits(record):
                return record
        suitable = [record for record in records if record.exists and suits(record)]
        if not suitable:
            raise NoSuchRecordError(f"there is no such record among the {kind}")
        return self.rng.choice(suitable)

    def owners(self, version: Version) -> tuple[Any, Any]:
        """Return the patient and doctor of a version; None for what it does not have."""
        fields = version.fields
        if version.kind.name == PATIENTS:
            return fields["id"], fields["doctor"]
        doctor = fields.get("doctor")
        if doctor is None and version.kind.name == NOTES:  # notes of the live form have no doctor
            doctor = self.appointment_of(version)["doctor"]
        return fields.get("patient"), doctor

    def doctor_of(self, patient: object) -> Any:
        record = self.store.by_key[PATIENTS].get(str(patient))
        return record.current.fields["doctor"] if record else None

    def appointment_of(self, version: Version) -> Fields:
        """Return the fields of the appointment that a version is, or is the note of."""
        if version.kind.name == APPOINTMENTS:
            return version.fields
        return self.store.by_key[APPOINTMENTS][str(version.fields["appointment"])].current.fields

    def is_locked(self, note: Record) -> bool:
        fields = note.current.fields
        return bool(fields["signee"]["locked_by"]) if self._live else bool(fields["locked"])

    def has_note(self, visit: Record) -> bool:
        """Whether the appointment has or had a note."""
        return visit.key in self.noted
