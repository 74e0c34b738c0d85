"""Recomputes the instants of stored appointments after the time zone of their doctor became known or changed.

An appointment gets `_sync.scheduled_at` when it is written, from its doctor's zone at that time. This module updates
appointments that were written before, one page of one doctor's appointments at a time. `_sync.scheduled_at` is not part
of the record: neither the digest nor `stored_at` changes.

State: `sync_state/zones`, {applied, walk, checked}.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from shared.documents import Documents, Transaction, Where
from shared.drchrono.ids import id_of_document
from shared.drchrono.kinds import KINDS
from shared.records.ordering import copy_of
from shared.records.prepared import CHUNK_RECORDS
from shared.records.scheduled import ZONE, scheduled_at, zone_of, zone_path
from shared.records.storable import META

STATE = "sync_state/zones"

_APPOINTMENTS = KINDS["appointments"]
_NEEDED = (META, "doctor", "scheduled_time", ZONE)


@dataclass(frozen=True)
class Doctor:
    """zone: name of the time zone, empty if unknown. stored_at: when the doctor's record was written."""

    id: str
    zone: str
    stored_at: datetime


@dataclass(frozen=True)
class ZonesState:
    """applied: by doctor, the zone that all of their stored appointments have. walk: the doctor whose appointments are
    being updated, {doctor, zone, value, after}: those whose field `doctor` is `value`, from the document `after` on.
    checked: when the newest list of doctors whose zones are all applied was begun.
    """

    applied: Mapping[str, str] = field(default_factory=dict)
    walk: Mapping[str, Any] | None = None
    checked: datetime | None = None


class Zones:
    """Every method may raise StoreUnavailable."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def of_doctors(self) -> Iterator[Doctor]:
        for name, document in self._documents.query("doctors", fields=(META, ZONE)):
            if copy_of(document) is not None:
                yield Doctor(id_of_document(name), zone_of(document), document[META]["stored_at"])

    def reschedule(self, doctor: int | str, after: str | None) -> tuple[int, str | None]:
        """Update the next page of the appointments whose field `doctor` is this value.

        Return how many changed, and the document after which the next page begins; None at the end.
        """
        where = [Where("doctor", "==", doctor)]
        page = self._documents.query("appointments", where, limit=CHUNK_RECORDS, after_id=after, fields=_NEEDED)
        found = {f"appointments/{name}": document for name, document in page}
        zones = {path for document in found.values() if (path := zone_path(_APPOINTMENTS, document))}

        def work(transaction: Transaction) -> int:
            there = transaction.get_all([*found, *sorted(zones)], _NEEDED)
            changed = 0
            for path in found:
                document = there.get(path)
                if document is None or copy_of(document) is None:
                    continue
                zone = zone_of(there.get(zone_path(_APPOINTMENTS, document) or ""))
                instant = scheduled_at(document.get("scheduled_time"), zone)
                meta = {name: value for name, value in document[META].items() if name != "scheduled_at"}
                meta |= {"scheduled_at": instant} if instant else {}
                if meta != document[META]:
                    transaction.update(path, {META: meta})
                    changed += 1
            return changed

        changed = self._documents.transact(work) if found else 0
        last = list(found)[-1].partition("/")[2] if len(found) == CHUNK_RECORDS else None
        return changed, last

    def state(self) -> ZonesState:
        """Return the readable parts of the state. The rest counts as not done."""
        found = self._documents.get(STATE) or {}
        applied, walk, checked = found.get("applied"), found.get("walk"), found.get("checked")
        return ZonesState(
            applied=applied if isinstance(applied, dict) else {},
            walk=walk if isinstance(walk, dict) and walk.keys() >= {"doctor", "zone", "value", "after"} else None,
            checked=checked if isinstance(checked, datetime) and checked.tzinfo is not None else None,
        )

    def save(self, state: ZonesState) -> None:
        self._documents.transact(lambda transaction: transaction.set(STATE, asdict(state)))
