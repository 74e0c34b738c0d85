"""A stored change of a record: its version, the operation, and the fields before and after. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from shared.documents import Data
from shared.drchrono.kinds import Kind
from shared.errors import RecordTooLarge
from shared.feed.entries import Entry, Operation, names, version_of
from shared.records.ordering import Copy, copy_of
from shared.records.signed_urls import without_signatures
from shared.records.storable import LARGEST_DOCUMENT_BYTES, META, canonical, split

HISTORY = "history"


@dataclass(frozen=True)
class Difference:
    """The top-level fields that changed. A field that was added or removed is in only one of the two."""

    before: Mapping[str, Any]
    after: Mapping[str, Any]

    @property
    def names(self) -> set[str]:
        return {*self.before, *self.after}


@dataclass(frozen=True)
class Change:
    """One stored change. path: of the record's document."""

    entry: Entry
    path: str
    difference: Difference


def change_of(kind: Kind, key: str, path: str, before: Copy | None, meta: Data, differs: Difference) -> Change:
    """Return the change that writes the `_sync` `meta` to the document at `path`."""
    entry = Entry(
        kind.name,
        key,
        meta["version"],
        operation_of(before, deleted=meta["deleted"]),
        meta["stored_at"],
        names(differs.names),
        meta["source"],
        meta["event"],
        meta["received_at"],
    )
    return Change(entry, path, differs)


def version_after(found: Data | None) -> int:
    """Return the version of the record that replaces the document `found`. The first version is 1.

    A record is written only if it differs from `found` (`shared.records.ordering.judge`).
    """
    meta = (found or {}).get(META)
    counted = isinstance(meta, dict) and "version" in meta
    before = version_of(meta) if isinstance(meta, dict) and (counted or copy_of(found) is not None) else 0
    return before + 1


def operation_of(before: Copy | None, *, deleted: bool) -> Operation:
    if deleted:
        return Operation.DELETED
    if before is None:
        return Operation.CREATED
    return Operation.RETURNED if before.deleted else Operation.CHANGED


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Difference:
    """Return the fields that differ. The signatures of URLs, which change with every read, do not count."""
    same = {name for name in before.keys() & after.keys() if _is_same(before[name], after[name])}
    return Difference(
        {name: value for name, value in before.items() if name not in same},
        {name: value for name, value in after.items() if name not in same},
    )


def _is_same(one: object, other: object) -> bool:
    # Compares JSON texts, because in Python 1 equals 1.0 and True.
    first, second = canonical({"": one}), canonical({"": other})
    return first == second or without_signatures(first) == without_signatures(second)


def history_of(change: Change, keep: timedelta) -> tuple[str, Data]:
    """Return the path and the content of the change's document in `<kind>/<id>/history`.

    `before` and `after` hold the changed fields. If Firestore cannot hold one of the two natively, it is JSON text in
    `_sync.json`. If the document would be too large, `after` is omitted, then `before`, and `_sync.omitted` names them.
    The content of `after` is also in the `before` of later versions, or in the record.
    """
    entry = change.entry
    parts: Data = {"before": change.difference.before, "after": change.difference.after}
    omitted: list[str] = []
    while True:
        try:
            native, text, size = split(parts)
            if size + entry.size <= LARGEST_DOCUMENT_BYTES:
                break
        except RecordTooLarge:
            pass
        name = next(reversed(parts))
        omitted.append(name)
        del parts[name]
    meta: Data = {
        "version": entry.version,
        "operation": str(entry.operation),
        "fields": list(entry.fields),
        "source": entry.source,
        "event": entry.event,
        "received_at": entry.received_at,
        "stored_at": entry.stored_at,
        "expires_at": entry.stored_at + keep,
    }
    meta |= {"omitted": omitted} if omitted else {}
    meta |= {"json": text} if text is not None else {}
    return f"{change.path}/{HISTORY}/{entry.version}", {**native, META: meta}
