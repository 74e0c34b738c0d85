"""Records with their latest versions, in the order of creation.

The fields of a version never change. A list can therefore keep versions as a snapshot, and each version is serialized
only once.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from threading import RLock
from typing import Any

from simulator.practice.kinds import APPOINTMENTS, KINDS, Kind

Fields = dict[str, Any]

# Signed links differ in every response. The stored text holds this placeholder instead of the signature.
_PLACEHOLDER = "~signature~"
SIGNATURE_MARK = f"?Signature={_PLACEHOLDER}&AWSAccessKeyId=SIMULATED&Expires=1773154800"
_MARK_BYTES = SIGNATURE_MARK.encode()
# A lagging read sees at least this far back.
_KEPT_VERSIONS, _KEPT_SECONDS = 5, 3600.0


@dataclass(slots=True)
class Version:
    """One state of a record, from `changed_at` on."""

    kind: Kind
    fields: Fields
    changed_at: float
    """Instant of the change, which read lag is compared with."""
    updated_at: float
    """Instant shown as `updated_at`, which `since` is compared with."""
    deleted: bool = False
    _brief: bytes | None = None
    _full: bytes | None = None

    def json(self, *, verbose: bool) -> bytes:
        """Return the record with signature placeholders; without the verbose-only fields unless `verbose`."""
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
    """A record. Its key is its id, or its appointment's id for a clinical note of the live form."""

    key: str
    position: int
    versions: list[Version] = field(default_factory=list)
    shortened: bool = False
    """Whether older versions were dropped."""

    @property
    def current(self) -> Version:
        return self.versions[-1]

    @property
    def exists(self) -> bool:
        return not self.versions[-1].deleted

    def seen(self, until: float) -> Version | None:
        """Return the version that was current at `until`; None if the record did not exist yet."""
        for version in reversed(self.versions):
            if version.changed_at <= until:
                return version
        return self.versions[0] if self.shortened else None


class Store:
    """Records by kind. Writers hold `lock`; readers need no lock."""

    def __init__(self) -> None:
        self.lock = RLock()
        self.by_key: dict[str, dict[str, Record]] = {kind: {} for kind in KINDS}
        self.in_order: dict[str, list[Record]] = {kind: [] for kind in KINDS}
        self._by_patient: dict[str, dict[str, list[Record]]] = {kind: {} for kind in KINDS}

    def add(self, kind: str, key: str, fields: Fields, *, changed_at: float, updated_at: float) -> Record:
        record = Record(key=key, position=len(self.in_order[kind]))
        record.versions.append(Version(KINDS[kind], fields, changed_at, updated_at))
        self.by_key[kind][key] = record
        self.in_order[kind].append(record)
        if patient := str(fields.get("patient") or ""):
            self._index(record, patient)
        return record

    def put(self, record: Record, fields: Fields, *, at: float, updated_at: float, deleted: bool = False) -> Version:
        """Make `fields` the record's current version."""
        version = Version(record.current.kind, fields, at, updated_at, deleted)
        record.versions.append(version)
        versions = record.versions
        drop = 0
        while len(versions) - drop > _KEPT_VERSIONS and versions[drop + 1].changed_at < at - _KEPT_SECONDS:
            drop += 1
        if drop:
            record.versions = versions[drop:]
            record.shortened = True
        patient = str(fields.get("patient") or "")
        if patient and patient != str(versions[-2].fields.get("patient")):
            self._index(record, patient)
        return version

    def _index(self, record: Record, patient: str) -> None:
        """Let lists of a patient find the record. It stays in the index of earlier patients, for lagging reads."""
        records = self._by_patient[record.current.kind.name].setdefault(patient, [])
        index = bisect_left(records, record.position, key=lambda each: each.position)
        if index == len(records) or records[index] is not record:
            records.insert(index, record)

    def get(self, kind: str, key: object) -> Record | None:
        """Return the record, or None if it does not exist or was deleted."""
        record = self.by_key[kind].get(str(key))
        return record if record is not None and record.exists else None

    def after(self, kind: str, position: int, patient: str | None = None) -> Iterator[Record]:
        """Return the records from `position` on, in order; only those that belong or belonged to `patient` if given."""
        if patient is None:
            records = self.in_order[kind]
            # By index, since the list can grow at its end while it is read.
            return (records[index] for index in range(max(position, 0), len(records)))
        return (record for record in self._by_patient[kind].get(patient, []) if record.position >= position)

    def existing(self, kind: str) -> list[Record]:
        return [record for record in self.in_order[kind] if record.exists]

    def counts(self) -> dict[str, int]:
        return {kind: sum(record.exists for record in records) for kind, records in self.in_order.items()}

    def overlapping(self, fields: Fields, key: str | None) -> Record | None:
        """Return another appointment of the same doctor that overlaps in time."""
        start, end = span(fields)
        for record in self.in_order[APPOINTMENTS]:
            other = record.current.fields
            if other["doctor"] != fields["doctor"] or record.key == key or not record.exists:
                continue
            if other["status"] in ("Cancelled", "Rescheduled", "No Show"):
                continue
            if not (fields["scheduled_time"] and other["scheduled_time"]):
                continue
            # Compare days first: parsing every time in the calendar would be slow.
            if other["scheduled_time"][:10] == fields["scheduled_time"][:10]:
                other_start, other_end = span(other)
                if start < other_end and other_start < end:
                    return record
        return None


def span(appointment: Fields) -> tuple[int, int]:
    """Return the begin and end of an appointment in minutes of its day."""
    hour, minute = int(appointment["scheduled_time"][11:13]), int(appointment["scheduled_time"][14:16])
    begin = hour * 60 + minute
    return begin, begin + int(appointment["duration"] or 0)


def unsigned(body: bytes) -> bytes:
    """Return `body` without signatures."""
    return body.replace(_MARK_BYTES, b"")


def signed(body: bytes, signature: str) -> bytes:
    """Return `body` with `signature` in its links."""
    return body.replace(_MARK_BYTES, SIGNATURE_MARK.replace(_PLACEHOLDER, signature).encode())


def join(versions: Iterable[Version], *, verbose: bool) -> bytes:
    """Return a JSON array of records."""
    return b"[" + b",".join([version.json(verbose=verbose) for version in versions]) + b"]"


def _dump(fields: Fields) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()
