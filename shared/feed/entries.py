"""What the feed tells of a stored change, as it waits in the collection `feed` and as a message. Pure.

A record has one document in `feed` while something of it waits: `feed/<kind>:<id>`, {kind, id, since, waiting, replay,
fence, until}. waiting: its entries, by version. replay: since when its present state is to be told again, or None.
fence, until: the relay that may send for the record now, and how long. since: when the first of them was stored.

A message holds no value of a record, and no name below its top level.
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

# What this system notes in a record's document (`shared.records.storable`).
META = "_sync"

# Stands for the names of all fields, where they are too many for a message.
ANY_FIELD = "*"
MOST_NAMES_BYTES = 20_000

# What may wait for one record: a document holds 1 MiB. Beyond it, one entry stands for several versions.
MOST_WAITING_BYTES = 600_000
LONGEST_KEY_BYTES = 1_024  # cloud.google.com/pubsub/quotas
ENTRY_BYTES = 400  # of an entry without its field names, rounded up


class Operation(StrEnum):
    CREATED = "created"
    CHANGED = "changed"
    DELETED = "deleted"
    RETURNED = "returned"
    PRESENT = "present"  # of a living record, told again
    FILLED = "filled"  # of a kind


@dataclass(frozen=True)
class Entry:
    """One stored change. fields: the sorted names of the top-level fields that changed. source, event, received_at: of
    the observation. through: the newest version that it stands for; `version` is the oldest.

    Of a kind that was filled, `id` is empty and `count` says how many living records it has.
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
        """Pub/Sub keeps the order of messages that have the same one, of up to LONGEST_KEY_BYTES."""
        key = f"{self.kind}/{self.id}" if self.id else self.kind
        if len(key.encode()) > LONGEST_KEY_BYTES:
            return f"{self.kind}/{hashlib.sha256(self.id.encode()).hexdigest()}"
        return key

    @property
    def size(self) -> int:
        return ENTRY_BYTES + sum(len(name.encode()) + 1 for name in self.fields)


@dataclass(frozen=True)
class Message:
    """As Pub/Sub gets it."""

    data: bytes
    attributes: Mapping[str, str]
    ordering_key: str


def name_of(kind: str, key: str) -> str:
    return f"{kind}:{document_id(key)}" if key else kind


def message_of(entry: Entry) -> Message:
    """The oldest version that the entry stands for."""
    told: dict[str, Any] = {"kind": entry.kind}
    if entry.operation is Operation.FILLED:
        told |= {"operation": entry.operation, "stored_at": _text(entry.stored_at), "count": entry.count}
    else:
        told |= {
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
        data=json.dumps(told | {"replay": entry.replay}).encode(),
        attributes={"kind": entry.kind, "operation": str(entry.operation), "replay": replay},
        ordering_key=entry.key,
    )


def version_of(meta: Mapping[str, Any]) -> int:
    """The version in a record's `_sync`. What was stored before versions were counted is the first."""
    version = meta.get("version")
    return version if isinstance(version, int) and version > 0 else 1


def names(changed: Iterable[str]) -> tuple[str, ...]:
    """The names of changed fields as an entry holds them. In UTF-8: half a surrogate pair becomes `?`."""
    listed = tuple(sorted(name.encode("utf-8", "replace").decode() for name in changed))
    return listed if sum(len(name.encode()) for name in listed) <= MOST_NAMES_BYTES else (ANY_FIELD,)


def appended(waiting: Sequence[Entry], entry: Entry) -> list[Entry]:
    """With `entry` behind. Where too much waits, one change goes into the entry before it; each version is told."""
    last = waiting[-1] if waiting else None
    if last is not None and sum(one.size for one in waiting) > MOST_WAITING_BYTES and _goes_into(entry, last):
        fields = names({*last.fields, *entry.fields}) if ANY_FIELD not in last.fields else (ANY_FIELD,)
        return [*waiting[:-1], replace(entry, version=last.version, through=entry.version, fields=fields)]
    return [*waiting, entry]


def _goes_into(entry: Entry, last: Entry) -> bool:
    return entry.operation is last.operation is Operation.CHANGED and entry.version == last.newest + 1


def without(waiting: Sequence[Entry], version: int) -> list[Entry]:
    """What is left to tell once `version`, the oldest, has been told."""
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
