"""A stored change as an entry of the collection `feed`, and as a message. Pure.

While a change of a record waits, the record has one document in `feed`: `feed/<kind>:<id>`, {kind, id, since, waiting,
replay, fence, until}. waiting: its entries, by version. replay: since when a replay of its current state is wanted, or
None. fence, until: the relay that may send for the record, and until when. since: when the first entry was stored.

A message contains no value of a record, and no field name below the top level.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from enum import StrEnum
from typing import Any

from shared.documents import Data
from shared.drchrono.ids import document_id

COLLECTION = "feed"

# This system's own field in a record's document (`shared.records.storable`).
META = "_sync"

# Stands for all field names, if they are too many for a message.
ANY_FIELD = "*"
MOST_NAMES_BYTES = 20_000

# The most that may wait for one record, since a document holds 1 MiB. Beyond it, one entry stands for several versions.
MOST_WAITING_BYTES = 600_000
LONGEST_KEY_BYTES = 1_024  # cloud.google.com/pubsub/quotas
ENTRY_BYTES = 400  # of an entry without its field names, rounded up


class Operation(StrEnum):
    CREATED = "created"
    CHANGED = "changed"
    DELETED = "deleted"
    RETURNED = "returned"
    PRESENT = "present"  # of a record that is not deleted, announced again
    FILLED = "filled"  # of a kind


@dataclass(frozen=True)
class Entry:
    """One stored change. fields: the sorted names of the top-level fields that changed. source, event, received_at:
    from the observation. through: the newest version that the entry stands for; `version` is the oldest.

    For a kind that was filled, `id` is empty and `count` is the number of its records that are not deleted.
    """

    kind: str
    id: str
    version: int
    operation: Operation
    stored_at: datetime
    fields: tuple[str, ...] = ()
    source: str = ""
    event: str | None = None
    received_at: datetime | None = None
    through: int = 0
    replay: bool = False
    count: int = 0

    @property
    def name(self) -> str:
        """Of the record's document in `feed`."""
        return name_of(self.kind, self.id)

    @property
    def newest(self) -> int:
        return max(self.version, self.through)

    @property
    def key(self) -> str:
        """The ordering key, of up to LONGEST_KEY_BYTES. Pub/Sub keeps the order of messages with the same key."""
        key = f"{self.kind}/{self.id}" if self.id else self.kind
        if len(key.encode()) > LONGEST_KEY_BYTES:
            return f"{self.kind}/{hashlib.sha256(self.id.encode()).hexdigest()}"
        return key

    @property
    def size(self) -> int:
        return ENTRY_BYTES + sum(len(name.encode()) + 1 for name in self.fields)


@dataclass(frozen=True)
class Message:
    """The message for Pub/Sub."""

    data: bytes
    attributes: Mapping[str, str]
    ordering_key: str


def name_of(kind: str, key: str) -> str:
    return f"{kind}:{document_id(key)}" if key else kind


def message_of(entry: Entry) -> Message:
    """Return the message of the oldest version that the entry stands for."""
    content: dict[str, Any] = {"kind": entry.kind}
    if entry.operation is Operation.FILLED:
        content |= {"operation": entry.operation, "stored_at": _text(entry.stored_at), "count": entry.count}
    else:
        content |= {
            "id": entry.id,
            "version": entry.version,
            "operation": entry.operation,
            "fields": list(entry.fields),
            "source": entry.source,
            "event": entry.event,
            "received_at": _text(entry.received_at) if entry.received_at else None,
            "stored_at": _text(entry.stored_at),
        }
    replay = "true" if entry.replay else "false"
    return Message(
        data=json.dumps(content | {"replay": entry.replay}).encode(),
        attributes={"kind": entry.kind, "operation": str(entry.operation), "replay": replay},
        ordering_key=entry.key,
    )


def version_of(meta: Mapping[str, Any]) -> int:
    """Return the version in a record's `_sync`. A record that was stored before versions existed has version 1."""
    version = meta.get("version")
    return version if isinstance(version, int) and version > 0 else 1


def names(changed: Iterable[str]) -> tuple[str, ...]:
    """The names of changed fields as an entry holds them. In UTF-8: half a surrogate pair becomes `?`."""
    listed = tuple(sorted(name.encode("utf-8", "replace").decode() for name in changed))
    return listed if sum(len(name.encode()) for name in listed) <= MOST_NAMES_BYTES else (ANY_FIELD,)


def appended(waiting: Sequence[Entry], entry: Entry) -> list[Entry]:
    """Append `entry`. If too much waits, merge it into the last entry; each version is still announced."""
    last = waiting[-1] if waiting else None
    if last is not None and sum(one.size for one in waiting) > MOST_WAITING_BYTES and _goes_into(entry, last):
        fields = names({*last.fields, *entry.fields}) if ANY_FIELD not in last.fields else (ANY_FIELD,)
        return [*waiting[:-1], replace(entry, version=last.version, through=entry.version, fields=fields)]
    return [*waiting, entry]


def _goes_into(entry: Entry, last: Entry) -> bool:
    return entry.operation is last.operation is Operation.CHANGED and entry.version == last.newest + 1


def without(waiting: Sequence[Entry], version: int) -> list[Entry]:
    """Return the entries that remain after `version`, the oldest, was announced."""
    left = [one for one in waiting if one.newest > version]
    if left and left[0].version <= version:
        left[0] = replace(left[0], version=version + 1)
    return left


def as_document(entry: Entry) -> Data:
    """As an element of `waiting`."""
    data: Data = {
        "version": entry.version,
        "operation": str(entry.operation),
        "fields": list(entry.fields),
        "source": entry.source,
        "event": entry.event,
        "received_at": entry.received_at,
        "stored_at": entry.stored_at,
    }
    return data | {name: value for name, value in (("through", entry.through), ("count", entry.count)) if value}


def from_document(kind: str, key: str, data: Data) -> Entry:
    return Entry(kind, key, **{**data, "operation": Operation(data["operation"]), "fields": tuple(data["fields"])})


def _text(instant: datetime) -> str:
    """RFC 3339."""
    return instant.astimezone(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")
