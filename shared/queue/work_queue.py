"""The pending list `sync_pending`: one document per target, leased to one worker at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from shared.documents import Documents, Transaction, Where
from shared.queue.entries import REASONS, Entry, Priority, Target, from_document, merge, to_document

T = TypeVar("T")

COLLECTION = "sync_pending"

# Longer than the slowest fetch of one target with its retries; a dead worker's entry comes free after it.
LEASE = timedelta(minutes=2)

CHUNK_ENTRIES = 100


@dataclass(frozen=True)
class Backlog:
    """How many entries wait for one reason, and since when the oldest does."""

    reason: str
    count: int
    oldest: datetime


class WorkQueue:
    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def get(self, target: Target) -> Entry | None:
        found = self._documents.get(_path(target))
        return None if found is None else from_document(found)

    def enqueue(self, entries: Iterable[Entry]) -> None:
        """Put these on the list, or into what is there already."""
        merged: dict[str, Entry] = {}
        for entry in entries:
            merged[entry.target.key] = merge(merged.get(entry.target.key), entry)
        for chunk in _chunks(list(merged.values())):

            def work(transaction: Transaction, chunk: Sequence[Entry] = chunk) -> None:
                found = transaction.get_all([_path(entry.target) for entry in chunk])
                for entry in chunk:
                    there = found.get(_path(entry.target))
                    folded = merge(None if there is None else from_document(there), entry)
                    transaction.set(_path(entry.target), to_document(folded))

            self._documents.transact(work)

    def claim(self, now: datetime, most: int, lowest: Priority) -> list[Entry]:
        """Up to `most` due entries of priority `lowest` and above, most urgent and oldest first, leased to the caller.

        A claimed entry is not due before its lease ends: so nobody else finds it, and nobody has to free it.
        """
        claimed: list[Entry] = []
        for priority in [priority for priority in Priority if priority <= lowest]:
            where = [Where("priority", "==", int(priority)), Where("due", "<=", now)]
            due = self._documents.query(COLLECTION, where, order_by=["due"], limit=most - len(claimed))
            candidates = [from_document(data).target for _, data in due]
            for chunk in _chunks(candidates):
                claimed += self._claim(chunk, now)
            if len(claimed) >= most:
                break
        return claimed

    def _claim(self, targets: Sequence[Target], now: datetime) -> list[Entry]:
        def work(transaction: Transaction) -> list[Entry]:
            found = transaction.get_all([_path(target) for target in targets])
            # What another worker took, settled or put off since the query is no longer due.
            entries = [entry for entry in map(from_document, found.values()) if entry.due <= now]
            leased = [replace(entry, due=now + LEASE, lease_until=now + LEASE) for entry in entries]
            for entry in leased:
                transaction.set(_path(entry.target), to_document(entry))
            return leased

        return self._documents.transact(work)

    def complete(self, target: Target, events_until: datetime) -> bool:
        """Take the entry off the list if no event came after `events_until`; otherwise it is due again at once."""

        def work(transaction: Transaction) -> bool:
            found = transaction.get(_path(target))
            if found is None:
                return True
            entry = from_document(found)
            if entry.last_seen <= events_until:
                transaction.delete(_path(target))
                return True
            transaction.set(_path(target), to_document(replace(entry, due=entry.last_seen, lease_until=None)))
            return False

        return self._documents.transact(work)

    def complete_listed(self, kind: str, keys: Iterable[str], events_until: datetime) -> int:
        """Take off the records that a list has just shown. Returns how many entries that ended."""
        struck = 0
        for chunk in _chunks([Target(kind, key) for key in keys]):

            def work(transaction: Transaction, chunk: Sequence[Target] = chunk) -> int:
                found = transaction.get_all([_path(target) for target in chunk])
                covered = [path for path, data in found.items() if data["last_seen"] <= events_until]
                for path in covered:
                    transaction.delete(path)
                return len(covered)

            struck += self._documents.transact(work)
        return struck

    def retry(self, entry: Entry, reason: str, due: datetime) -> None:
        """Put a claimed entry off after a failed attempt. A newer event that came meanwhile makes it due at once."""

        def work(transaction: Transaction) -> None:
            found = transaction.get(_path(entry.target))
            if found is None:
                return
            there = from_document(found)
            newer = there.last_seen > entry.last_seen
            transaction.set(
                _path(entry.target),
                to_document(
                    replace(
                        there,
                        reason=reason,
                        due=there.last_seen if newer else due,
                        attempts=entry.attempts + 1,
                        lease_until=None,
                    )
                ),
            )

        self._documents.transact(work)

    def release(self, entries: Iterable[Entry], now: datetime) -> None:
        """Give claimed entries back untried (the quota or the deadline ended the run)."""
        for chunk in _chunks(list(entries)):

            def work(transaction: Transaction, chunk: Sequence[Entry] = chunk) -> None:
                found = transaction.get_all([_path(entry.target) for entry in chunk])
                for path, data in found.items():
                    transaction.set(path, to_document(replace(from_document(data), due=now, lease_until=None)))

            self._documents.transact(work)

    def keys_of(self, kind: str) -> set[str]:
        """The ids of the records of `kind` that are on the list."""
        where = [Where("kind", "==", kind), Where("by", "==", "id")]
        return {data["id"] for _, data in self._documents.query(COLLECTION, where, fields=["id"])}

    def count(self, kind: str, by: str = "id") -> int:
        return self._documents.count(COLLECTION, [Where("kind", "==", kind), Where("by", "==", by)])

    def waiting(self) -> int:
        """How many entries there are."""
        return self._documents.count(COLLECTION)

    def make_due(self, now: datetime, *, reason: str | None = None, kind: str | None = None) -> int:
        """`ops retry`, and a token that is there again: try these now. Returns how many entries that were not due."""
        where = [Where("reason", "==", reason)] if reason else []
        where += [Where("kind", "==", kind)] if kind else []
        waiting = [
            entry for _, data in self._documents.query(COLLECTION, where) if (entry := from_document(data)).due > now
        ]
        self.release(waiting, now)
        return len(waiting)

    def backlog(self) -> list[Backlog]:
        """For `ops status` and the log: by reason, most first. Reads are by reason, not by entry."""
        rows = []
        for reason in REASONS:
            where = [Where("reason", "==", reason)]
            count = self._documents.count(COLLECTION, where)
            for _, oldest in self._documents.query(COLLECTION, where, order_by=["first_seen"], limit=1):
                rows.append(Backlog(reason, count, oldest["first_seen"]))
        return sorted(rows, key=lambda row: -row.count)


def _path(target: Target) -> str:
    return f"{COLLECTION}/{target.key}"


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), CHUNK_ENTRIES):
        yield items[start : start + CHUNK_ENTRIES]
