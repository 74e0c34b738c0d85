"""One record of the copy. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from drchrono_reader import exact_json
from drchrono_reader.ids import id_of_document
from drchrono_reader.store import Document

META = "_sync"


@dataclass(frozen=True, eq=False)
class Record(Mapping[str, Any]):
    """A mapping of the fields as DrChrono sent them, and what the copy knows about them.

    id: as text, whatever its type in DrChrono. fetched_at: start of the request that returned the fields (UTC).
    deleted: DrChrono no longer has the record. The fields are its last ones; there are none if the copy never held it.
    deleted_reason: `not_found`, `absent` or `deleted_flag`. patient_deleted: the record exists, but its patient is
    deleted. scheduled_at: when an appointment takes place (UTC); None if its doctor's time zone is unknown, and for
    other kinds. version: grows by one with each stored change, as in the change feed; 1 for a record that has not
    changed since versions were introduced.
    """

    kind: str
    id: str
    fields: Mapping[str, Any] = field(repr=False)
    fetched_at: datetime
    deleted: bool = False
    deleted_reason: str | None = None
    patient_deleted: bool = False
    scheduled_at: datetime | None = None
    version: int = 1

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)


def record_of(kind: str, name: str, document: Document | None) -> Record | None:
    """Return the record that a document holds; None if there is no document, or the copy did not write it."""
    meta: Any = (document or {}).get(META)
    if document is None or not isinstance(meta, dict):
        return None
    fetched_at, deleted, text = meta.get("fetched_at"), meta.get("deleted"), meta.get("json")
    if not isinstance(fetched_at, datetime) or not isinstance(deleted, bool):
        return None
    scheduled_at, version = meta.get("scheduled_at"), meta.get("version")
    fields = {key: value for key, value in document.items() if key != META}
    return Record(
        kind=kind,
        id=id_of_document(name),
        fields=fields | exact_json.loads(text) if text else fields,
        fetched_at=fetched_at,
        deleted=deleted,
        deleted_reason=meta.get("deleted_reason"),
        patient_deleted=meta.get("patient_deleted") is True,
        scheduled_at=scheduled_at if isinstance(scheduled_at, datetime) else None,
        version=version if isinstance(version, int) and version > 0 else 1,
    )
