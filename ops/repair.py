"""`retry` and `accept-deletions`: have records fetched again; DrChrono's answer decides."""

from __future__ import annotations

from datetime import datetime

from ops.compare import fetch
from shared.documents import Documents, Where
from shared.drchrono.ids import is_id
from shared.drchrono.kinds import Kind
from shared.drchrono.lag import shown_until
from shared.errors import SyncError
from shared.jobs.reconcile import start
from shared.jobs.run import Parts
from shared.jobs.windowed import KIND_NAMES
from shared.queue.encoding import target_of
from shared.queue.entries import ABSENT, REASONS, Entry, Priority, Target
from shared.queue.work_queue import COLLECTION, WorkQueue
from shared.records.store import Records
from shared.wiring.system import System

REASON = "asked"


class BadId(SyncError):
    reason = "bad_id"


class NoSuchRecord(SyncError):
    reason = "no_such_record"


class NoSuchReason(SyncError):
    reason = "no_such_reason"


def retry_reason(queue: WorkQueue, reason: str | None, kind: str | None, now: datetime) -> int:
    """Make the entries with this reason due. Return how many were not due. Raises NoSuchReason."""
    if reason is not None and reason not in REASONS:
        there = ", ".join(row.reason for row in queue.backlog()) or "none, since nothing is pending"
        raise NoSuchReason(f"{reason} is not a reason for which entries wait; those in the queue now: {there}")
    return queue.make_due(now, reason=reason, kind=kind)


def look_again(system: System, kind: Kind, key: str, now: datetime) -> None:
    """Queue one record, as an event would.

    If the copy does not have it, request it from DrChrono first: a mistyped id would otherwise become a tombstone.
    Raises BadId, NoSuchRecord, and the errors of the API.
    """
    if not is_id(key):
        raise BadId("an id is a text that is neither empty nor too long")
    queue = system.queue()
    known = system.records().copy(kind, key) is not None or queue.get(Target(kind.name, key)) is not None
    if not known and fetch(system.drchrono(), kind, key) is None:
        raise NoSuchRecord(f"neither the copy nor DrChrono has {kind.name}/{key}, so nothing was queued: check the id")
    seen = shown_until(now)
    queue.enqueue([Entry(Target(kind.name, key), REASON, Priority.EVENT, seen, seen, due=now)])


def look_at_all(documents: Documents, queue: WorkQueue, kind: Kind, now: datetime) -> int:
    """Queue every record that is not a tombstone, after all other entries. Return how many.

    Costs one request per record, but needs no complete list from DrChrono.
    """
    keys = [key for key, _ in Records(documents, lambda: now).living(kind)]
    seen = shown_until(now)
    queue.enqueue(Entry(Target(kind.name, key), REASON, Priority.BACKFILL, seen, seen, due=now) for key in keys)
    return len(keys)


def absent_ids(documents: Documents, kind: Kind) -> list[str]:
    """Return the ids of the records of the kind that DrChrono did not show, and that wait to be marked as deleted."""
    found: list[str] = []
    for reason in ABSENT:
        where = [Where("kind", "==", kind.name), Where("by", "==", "id"), Where("reason", "==", reason)]
        targets = (target_of(name) for name, _ in documents.query(COLLECTION, where, fields=["id"]))
        found += [target.id for target in targets if target is not None]
    return sorted(found)


def accept(parts: Parts, kind: Kind) -> None:
    """Accept the absent records of the kind as deleted. Start a complete pass, to find those that were not queued."""
    parts.absences.accept(kind)
    if kind.name in KIND_NAMES:
        parts.checkpoints.change(kind.name, lambda old: old.recovered("reconcile"))
        start(parts, (kind.name,))
