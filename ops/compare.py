"""`show`: one stored record, and its differences from DrChrono's current one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from shared.documents import Documents
from shared.drchrono.ids import is_id
from shared.drchrono.kinds import KINDS, Kind, key_of
from shared.drchrono.records import Fetched, Page
from shared.errors import NotFound, SyncError
from shared.queue.entries import Entry, Target
from shared.queue.work_queue import WorkQueue
from shared.records.prepared import path_of
from shared.records.storable import META, digest, join


class NotStored(SyncError):
    reason = "not_stored"


class BadKey(SyncError):
    """The kind or the id is invalid."""

    reason = "bad_id"


@dataclass(frozen=True)
class Stored:
    """meta: `_sync` without the fields of the record. pending: the record's entry in the work queue, if any."""

    record: dict[str, Any]
    meta: dict[str, Any]
    pending: Entry | None


@dataclass(frozen=True)
class Difference:
    """path: dotted. A value is None if the field is null or missing on that side."""

    path: str
    stored: Any
    now: Any


@dataclass(frozen=True)
class Compared:
    """deleted: the copy is a tombstone. gone: DrChrono no longer has the record."""

    deleted: bool
    gone: bool
    differences: list[Difference]

    @property
    def equal(self) -> bool:
        return self.deleted == self.gone and not self.differences


class Api(Protocol):
    """The part of `shared.drchrono.client.DrChrono` that is needed here."""

    def get(self, kind: Kind, id: str) -> Fetched: ...  # noqa: A002 (DrChrono's word)
    def list_notes(self, appointment: str) -> Iterator[Page]: ...


def kind_of(name: str) -> Kind:
    """Raises BadKey."""
    if name not in KINDS:
        raise BadKey(f"{name} is not a kind of record: choose one of {', '.join(KINDS)}")
    return KINDS[name]


def stored(documents: Documents, queue: WorkQueue, kind: Kind, key: str) -> Stored:
    """Raises BadKey and NotStored."""
    if not is_id(key):
        raise BadKey("an id is a text that is neither empty nor too long")
    document = documents.get(path_of(kind, key))
    entry = queue.get(Target(kind.name, key))
    if document is None:
        waits = f": it waits in the work queue ({entry.reason})" if entry else ", and nothing is pending for it"
        raise NotStored(f"{kind.name}/{key} is not stored{waits}")
    meta = {name: value for name, value in document[META].items() if name != "json"}
    return Stored(join(document), meta, entry)


def fetch(api: Api, kind: Kind, key: str) -> dict[str, Any] | None:
    """Return DrChrono's current record; None if there is none."""
    try:
        return api.get(kind, key).record
    except NotFound:
        if kind.listed_by != "appointment":
            return None
    notes = (note for page in api.list_notes(key) for note in page.records)
    return next((note for note in notes if key_of(kind, note) == key), None)


def compared(stored: Stored, now: Mapping[str, Any] | None) -> Compared:
    """now: the result of `fetch`."""
    found = differences(stored.record, now) if now is not None else []
    return Compared(deleted=stored.meta["deleted"], gone=now is None, differences=found)


def differences(stored: Mapping[str, Any], now: Mapping[str, Any]) -> list[Difference]:
    """Return the differences by path. The signatures of URLs, which change with every read, are ignored."""
    return list(_compared("", stored, now))


def _compared(path: str, stored: Any, now: Any) -> Iterator[Difference]:
    if isinstance(stored, Mapping) and isinstance(now, Mapping):
        for name in sorted(stored.keys() | now.keys()):
            yield from _compared(f"{path}.{name}" if path else name, stored.get(name), now.get(name))
    elif stored != now and digest({"": stored}) != digest({"": now}):
        yield Difference(path, stored, now)
