"""Entries as documents of `sync_pending`, written strictly and read leniently.

A document that this module did not write (edited by hand, damaged) must not stop the queue. It is read as an entry
that is due now, so its target is fetched again. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.drchrono.ids import id_of_document
from shared.drchrono.kinds import KINDS
from shared.queue.entries import Entry, Priority, Target


def to_document(entry: Entry) -> dict[str, Any]:
    return {
        "kind": entry.target.kind,
        "id": entry.target.id,
        "by": entry.target.by,
        "reason": entry.reason,
        "priority": entry.priority,
        "first_seen": entry.first_seen,
        "last_seen": entry.last_seen,
        "due": entry.due,
        "attempts": entry.attempts,
        "updated_at": entry.updated_at,
        "deletes": entry.deletes,
        "deliveries": list(entry.deliveries),
        "lease_until": entry.lease_until,
        "absent_since": entry.absent_since,
        "unstorable": entry.unstorable,
    }


def from_document(key: str, data: Mapping[str, Any], now: datetime) -> Entry | None:
    """Return the entry in the document `key`, None if `key` names no target.

    A malformed document gives an entry that is due now and covers every event until `now`.
    """
    try:
        return _read(data)
    except (KeyError, TypeError, ValueError, AttributeError):
        target = target_of(key)
        return None if target is None else Entry(target, "malformed", Priority.EVENT, now, now, now)


def target_of(key: str) -> Target | None:
    """Return the target whose entry is the document `key`; None if `key` names no target."""
    kind, _, rest = key.partition(":")
    by, colon, owner = rest.partition(":")
    if kind not in KINDS or not rest:
        return None
    if colon and by in ("patient", "appointment"):
        return Target(kind, id_of_document(owner), by)
    return Target(kind, id_of_document(rest))


def _read(data: Mapping[str, Any]) -> Entry:
    times = {name: data[name] for name in ("first_seen", "last_seen", "due")}
    lease_until, absent_since = data["lease_until"], data.get("absent_since")
    updated_at = data["updated_at"]
    given = [value for value in (lease_until, absent_since) if value is not None]
    if not all(map(_is_instant, [*times.values(), *given])):
        raise TypeError
    if data["kind"] not in KINDS or not isinstance(updated_at, str | None):
        raise ValueError
    return Entry(
        target=Target(kind=data["kind"], id=str(data["id"]), by=str(data["by"])),
        reason=str(data["reason"]),
        priority=Priority(data["priority"]),
        attempts=int(data["attempts"]),
        updated_at=updated_at,
        deletes=data["deletes"] is True,
        deliveries=tuple(str(one) for one in data["deliveries"]),
        lease_until=lease_until,
        absent_since=absent_since,
        unstorable=data.get("unstorable") is True,
        **times,
    )


def _is_instant(value: object) -> bool:
    return isinstance(value, datetime) and value.tzinfo is not None
