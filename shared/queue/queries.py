"""Read-only queries of the work queue: one entry, counts by kind, and the backlog for operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from shared.documents import Documents, Where
from shared.queue.encoding import from_document, target_of
from shared.queue.entries import ABSENT, REASONS, Entry, Target

COLLECTION = "sync_pending"


@dataclass(frozen=True)
class Backlog:
    """The entries with one reason: how many, and when the oldest was first seen (UTC)."""

    reason: str
    count: int
    oldest: datetime


@dataclass(frozen=True)
class Pending:
    """What the queue holds of one kind.

    oldest: the earliest `first_seen`, None if there is no entry or none that can be read. unstorable: whether Firestore
    cannot hold one of the records.
    """

    count: int
    oldest: datetime | None
    unstorable: bool


class QueueQueries:
    def __init__(self, documents: Documents, now: Callable[[], datetime]) -> None:
        self._documents = documents
        self._now = now

    def get(self, target: Target) -> Entry | None:
        found = self._documents.get(path_of(target))
        return None if found is None else from_document(target.key, found, self._now())

    def waiting(self) -> int:
        """Return the number of all entries."""
        return self._documents.count(COLLECTION)

    def count(self, kind: str, by: str = "id") -> int:
        return self._documents.count(COLLECTION, [Where("kind", "==", kind), Where("by", "==", by)])

    def pending(self, kind: str) -> Pending:
        """Return what the queue holds of `kind`: records, and lists of patients or appointments."""
        where = [Where("kind", "==", kind)]
        count = self._documents.count(COLLECTION, where)
        if not count:
            return Pending(0, None, unstorable=False)
        found = self._documents.query(COLLECTION, where, order_by=["first_seen"], limit=1, fields=["first_seen"])
        oldest = next((entry["first_seen"] for _, entry in found), None)
        unstorable = self._documents.count(COLLECTION, [*where, Where("unstorable", "==", True)]) > 0
        return Pending(count, oldest if isinstance(oldest, datetime) else None, unstorable)

    def count_absent(self, kind: str) -> int:
        """Return how many records of `kind` wait for the single read that decides whether they are deleted."""
        return sum(
            self._documents.count(
                COLLECTION, [Where("kind", "==", kind), Where("by", "==", "id"), Where("reason", "==", reason)]
            )
            for reason in ABSENT
        )

    def keys_of(self, kind: str) -> set[str]:
        """Return the ids of the records of `kind` that are in the queue."""
        where = [Where("kind", "==", kind), Where("by", "==", "id")]
        found = self._documents.query(COLLECTION, where, fields=["id"])
        return {target.id for key, _ in found if (target := target_of(key)) is not None}

    def unreadable(self) -> Iterator[str]:
        """Yield the names of documents that name no target. Reads the whole queue."""
        return (key for key, _ in self._documents.query(COLLECTION, fields=["kind"]) if target_of(key) is None)

    def backlog(self) -> list[Backlog]:
        """Return the entries by reason, most frequent first. Reads one document per reason, not one per entry."""
        rows = []
        for reason in REASONS:
            where = [Where("reason", "==", reason)]
            count = self._documents.count(COLLECTION, where)
            for _, oldest in self._documents.query(COLLECTION, where, order_by=["first_seen"], limit=1):
                rows.append(Backlog(reason, count, oldest["first_seen"]))
        return sorted(rows, key=lambda row: -row.count)


def path_of(target: Target) -> str:
    return f"{COLLECTION}/{target.key}"
