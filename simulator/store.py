"""The records, each with its last versions, in the order they were made.

A version's fields are never changed in place, so a list may hold on to versions as a snapshot, and each version is
written as JSON only once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from threading import RLock
from typing import Any

from simulator.kinds import APPOINTMENTS, KINDS, Kind

Fields = dict[str, Any]

# The PDF link's signature is new in every answer: the stored text carries this mark in its place.
SIGNATURE_MARK = "?Signature=~signature~"
_MARK_BYTES = SIGNATURE_MARK.encode()
_KEPT_VERSIONS = 5  # what a read lag can go back to


@dataclass(slots=True)
class Version:
    """One state of a record, from `changed_at` on."""

    kind: Kind
    fields: Fields
    changed_at: float
    """Instant of the change; reads lag behind this."""
    updated_at: float
    """Instant that `updated_at` shows and `since` is compared with."""
    deleted: bool = False
    _brief: bytes | None = None
    _full: bytes | None = None

    def json(self, *, verbose: bool) -> bytes:
        """The record as sent, signature mark included; without the verbose-only fields unless asked for."""
        if verbose or not self.kind.verbose_only:
            if self._full is None:
                self._full = _dump(self.fields)
            return self._full
        if self._brief is None:
            hidden = self.kind.verbose_only
            self._brief = _dump({name: value for name, value in self.fields.items() if name not in hidden})
        return self._brief


@dataclass(slots=True)
class Record:
    """One record under its key, which is the `id` (a clinical note of the live form: its appointment's id)."""

    key: str
    position: int
    patient: str
    """Key of the patient it belongs to; empty for patients and for breaks."""
    versions: list[Version] = field(default_factory=list)
    shortened: bool = False
    """Whether the first version was dropped."""

    @property
    def current(self) -> Version:
        return self.versions[-1]

    @property
    def exists(self) -> bool:
        return not self.versions[-1].deleted

    def seen(self, until: float) -> Version | None:
        """What a reader sees whose copy of the database ends at `until`."""
        for version in reversed(self.versions):
            if version.changed_at <= until:
                return version
        return self.versions[0] if self.shortened else None


class Store:
    """Records by kind. Reads need no lock; whoever writes holds `lock`."""

    def __init__(self) -> None:
        self.lock = RLock()
        self.by_key: dict[str, dict[str, Record]] = {kind: {} for kind in KINDS}
        self.in_order: dict[str, list[Record]] = {kind: [] for kind in KINDS}
        self._by_patient: dict[str, dict[str, list[Record]]] = {kind: {} for kind in KINDS}

    def add(self, kind: str, key: str, fields: Fields, *, changed_at: float, updated_at: float) -> Record:
        patient = str(fields.get("patient") or "")
        record = Record(key=key, position=len(self.in_order[kind]), patient=patient)
        record.versions.append(Version(KINDS[kind], fields, changed_at, updated_at))
        self.by_key[kind][key] = record
        self.in_order[kind].append(record)
        if patient:
            self._by_patient[kind].setdefault(patient, []).append(record)
        return record

    def put(self, record: Record, fields: Fields, *, at: float, updated_at: float, deleted: bool = False) -> Version:
        """Make `fields` the record's current version."""
        version = Version(record.current.kind, fields, at, updated_at, deleted)
        record.versions.append(version)
        if len(record.versions) > _KEPT_VERSIONS:
            record.versions = record.versions[-_KEPT_VERSIONS:]
            record.shortened = True
        return version

    def get(self, kind: str, key: object) -> Record | None:
        """The record, unless it was deleted."""
        record = self.by_key[kind].get(str(key))
        return record if record is not None and record.exists else None

    def after(self, kind: str, position: int, patient: str | None = None) -> Iterator[Record]:
        """Records from `position` on, in order; only one patient's when given."""
        if patient is None:
            records = self.in_order[kind]
            # By index: the list may grow while it is read, and grows at its end only.
            return (records[index] for index in range(max(position, 0), len(records)))
        return (record for record in self._by_patient[kind].get(patient, []) if record.position >= position)

    def existing(self, kind: str) -> list[Record]:
        return [record for record in self.in_order[kind] if record.exists]

    def counts(self) -> dict[str, int]:
        return {kind: sum(record.exists for record in records) for kind, records in self.in_order.items()}

    def overlapping(self, fields: Fields, key: str | None) -> Record | None:
        """Another appointment of the same doctor at the same time."""
        start, end = span(fields)
        for record in self.in_order[APPOINTMENTS]:
            other = record.current.fields
            if other["doctor"] != fields["doctor"] or record.key == key or not record.exists:
                continue
            if other["status"] in ("Cancelled", "Rescheduled", "No Show"):
                continue
            # Same day first: reading every time in the calendar would be slow.
            if other["scheduled_time"][:10] == fields["scheduled_time"][:10]:
                other_start, other_end = span(other)
                if start < other_end and other_start < end:
                    return record
        return None


def span(appointment: Fields) -> tuple[int, int]:
    """Begin and end of an appointment in minutes of its day."""
    hour, minute = int(appointment["scheduled_time"][11:13]), int(appointment["scheduled_time"][14:16])
    begin = hour * 60 + minute
    return begin, begin + int(appointment["duration"] or 0)


def at_rest(body: bytes) -> bytes:
    """Without the signature, which differs from read to read."""
    return body.replace(_MARK_BYTES, b"")


def signed(body: bytes, signature: str) -> bytes:
    """As one answer shows it, with its own signature."""
    return body.replace(_MARK_BYTES, b"?Signature=" + signature.encode())


def join(versions: Iterable[Version], *, verbose: bool) -> bytes:
    """A JSON array of records."""
    return b"[" + b",".join([version.json(verbose=verbose) for version in versions]) + b"]"


def _dump(fields: Fields) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()
