"""`retry`: put records on the pending list because a person doubts them. What DrChrono then answers decides."""

from __future__ import annotations

from datetime import datetime

from shared.documents import Documents
from shared.drchrono.ids import is_id
from shared.drchrono.kinds import Kind
from shared.errors import SyncError
from shared.queue.entries import Entry, Priority, Target
from shared.queue.work_queue import WorkQueue
from shared.records.store import Records

REASON = "asked"


class BadId(SyncError):
    reason = "bad_id"


def look_again(queue: WorkQueue, kind: Kind, key: str, now: datetime) -> None:
    """At one record, as if an event had come. Raises BadId."""
    if not is_id(key):
        raise BadId("an id is a text that is neither empty nor too long")
    queue.enqueue([Entry(Target(kind.name, key), REASON, Priority.EVENT, now, now, due=now)])


def look_at_all(documents: Documents, queue: WorkQueue, kind: Kind, now: datetime) -> int:
    """At every record that is not a tombstone, after everything else. Returns how many.

    One request for each: dear, but it needs no list of DrChrono's to be whole, and a record that is gone becomes a
    tombstone by an answer of its own. So it is what helps where a reconciliation stops before a mass deletion.
    """
    keys = [key for key, _ in Records(documents, lambda: now).living(kind)]
    queue.enqueue(Entry(Target(kind.name, key), REASON, Priority.BACKFILL, now, now, due=now) for key in keys)
    return len(keys)
