"""The work queue `sync_pending`: one document per target, leased to one worker at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from shared.documents import DocumentExists, Documents, Transaction, Where
from shared.drchrono.lag import Evidence, provable_from
from shared.log import log
from shared.queue.entries import (
    ABSENT,
    REASONS,
    Entry,
    Priority,
    Target,
    from_document,
    is_done,
    merge,
    target_of,
    to_document,
)

T = TypeVar("T")

COLLECTION = "sync_pending"

# Longer than the slowest fetch of one target with its retries; a dead worker's entry is free again after it.
LEASE = timedelta(minutes=2)

# Between two looks at a target of which DrChrono keeps showing an old version.
BEHIND_RETRY = timedelta(minutes=1)

CHUNK_ENTRIES = 200


@dataclass(frozen=True)
class Backlog:
    """How many entries wait for one reason, and since when the oldest does."""

    reason: str
    count: int
    oldest: datetime


class WorkQueue:
    def __init__(self, documents: Documents, now: Callable[[], datetime]) -> None:
        self._documents = documents
        self._now = now

    def get(self, target: Target) -> Entry | None:
        found = self._documents.get(_path(target))
        return None if found is None else from_document(target.key, found, self._now())

    def enqueue(self, entries: Iterable[Entry]) -> None:
        """Add these, or merge them into the entries of their targets."""
        merged: dict[str, Entry] = {}
        for entry in entries:
            merged[entry.target.key] = merge(merged.get(entry.target.key), entry)
        self._documents.each(self._add, _chunks(list(merged.values())))

    def _add(self, entries: Sequence[Entry]) -> None:
        """Most targets have no entry yet, and need no read; where one of these has, all are read."""

        def create(transaction: Transaction) -> None:
            for entry in entries:
                transaction.create(_path(entry.target), to_document(entry))

        def merge_all(transaction: Transaction) -> None:
            there = self._entries(transaction, [entry.target for entry in entries])
            for entry in entries:
                transaction.set(_path(entry.target), to_document(merge(there.get(entry.target), entry)))

        try:
            self._documents.transact(create)
        except DocumentExists:
            self._documents.transact(merge_all)

    def claim(self, now: datetime, most: int, lowest: Priority, highest: Priority = Priority.EVENT) -> list[Entry]:
        """Up to `most` due entries of the priorities `highest` to `lowest`, most urgent and oldest first, leased to the
        caller.

        A claimed entry is not due before its lease ends: so nobody else finds it, and nobody has to free it.
        """
        claimed: list[Entry] = []
        for priority in [priority for priority in Priority if highest <= priority <= lowest]:
            where = [Where("priority", "==", int(priority)), Where("due", "<=", now)]
            due = self._documents.query(COLLECTION, where, order_by=["due"], limit=most - len(claimed))
            for chunk in _chunks([target for key, _ in due if (target := target_of(key)) is not None]):
                claimed += self._claim(chunk, now)
            if len(claimed) >= most:
                break
        return claimed

    def _claim(self, targets: Sequence[Target], now: datetime) -> list[Entry]:
        def work(transaction: Transaction) -> list[Entry]:
            # What another worker claimed, completed or postponed since the query is no longer due.
            entries = [entry for entry in self._entries(transaction, targets).values() if entry.due <= now]
            leased = [replace(entry, due=now + LEASE, lease_until=now + LEASE) for entry in entries]
            for entry in leased:
                transaction.set(_path(entry.target), to_document(entry))
            return leased

        return self._documents.transact(work)

    def complete(self, target: Target, evidence: Evidence) -> bool:
        """Take the entry out if a look at the target that proves this much leaves nothing to do; otherwise it is due
        again when a look proves more. Returns whether there is none left.
        """

        def work(transaction: Transaction) -> bool:
            entry = self._entries(transaction, [target]).get(target)
            if entry is None:
                return True
            if is_done(entry, evidence):
                transaction.delete(_path(target))
                return True
            due = provable_from(entry.last_seen)
            if evidence.until >= entry.last_seen:
                due = self._now() + BEHIND_RETRY
            transaction.set(_path(target), to_document(replace(entry, reason="lag", due=due, lease_until=None)))
            return False

        return self._documents.transact(work)

    def complete_listed(self, kind: str, shown: Mapping[str, Evidence]) -> int:
        """Take out the records that a list has shown so far that nothing is left to do. Returns how many."""
        completed = 0
        for chunk in _chunks([Target(kind, key) for key in shown]):

            def work(transaction: Transaction, chunk: Sequence[Target] = chunk) -> int:
                entries = self._entries(transaction, chunk).values()
                done = [entry.target for entry in entries if is_done(entry, shown[entry.target.id])]
                for target in done:
                    transaction.delete(_path(target))
                return len(done)

            completed += self._documents.transact(work)
        return completed

    def retry(
        self,
        entry: Entry,
        reason: str,
        due: datetime,
        *,
        priority: int,
        failed: bool = True,
        absent_since: datetime | None = None,
    ) -> None:
        """Postpone a claimed entry after an attempt. A newer event that came meanwhile makes it due at once."""

        def work(transaction: Transaction) -> None:
            there = self._entries(transaction, [entry.target]).get(entry.target)
            if there is None:
                return
            newer = there.last_seen > entry.last_seen
            postponed = replace(
                there,
                reason=reason,
                priority=there.priority if newer else priority,
                due=there.last_seen if newer else due,
                attempts=entry.attempts + (1 if failed else 0),
                absent_since=None if newer else absent_since,
                lease_until=None,
            )
            transaction.set(_path(entry.target), to_document(postponed))

        self._documents.transact(work)

    def release(self, entries: Iterable[Entry], due: datetime) -> None:
        """Give claimed entries back untried, to be due then."""
        for chunk in _chunks([entry.target for entry in entries]):

            def work(transaction: Transaction, chunk: Sequence[Target] = chunk) -> None:
                for target, entry in self._entries(transaction, chunk).items():
                    transaction.set(_path(target), to_document(replace(entry, due=due, lease_until=None)))

            self._documents.transact(work)

    def repair(self) -> int:
        """Rebuild the entries that no query finds because a field is missing or wrong. Returns how many.

        They are found by counting: the whole queue is read only where the counts differ.
        """
        counted = sum(self._documents.count(COLLECTION, [Where("priority", "==", int(one))]) for one in Priority)
        if counted == self.waiting():
            return 0
        rebuilt = [
            entry
            for key, data in self._documents.query(COLLECTION)
            if (entry := from_document(key, data, self._now())) is not None and entry.reason == "malformed"
        ]
        for entry in rebuilt:
            log("pending.rebuilt", "ERROR", kind=entry.target.kind, id=entry.target.id)
        self.enqueue(rebuilt)
        return len(rebuilt)

    def unreadable(self) -> Iterator[str]:
        """The names of documents that stand for no target at all. Reads the whole queue."""
        return (key for key, _ in self._documents.query(COLLECTION, fields=["kind"]) if target_of(key) is None)

    def keys_of(self, kind: str) -> set[str]:
        """The ids of the records of `kind` that are in the queue."""
        where = [Where("kind", "==", kind), Where("by", "==", "id")]
        found = self._documents.query(COLLECTION, where, fields=["id"])
        return {target.id for key, _ in found if (target := target_of(key)) is not None}

    def count(self, kind: str, by: str = "id") -> int:
        return self._documents.count(COLLECTION, [Where("kind", "==", kind), Where("by", "==", by)])

    def count_absent(self, kind: str) -> int:
        """How many records of `kind` wait for the single read that says whether they are deleted."""
        return sum(
            self._documents.count(
                COLLECTION, [Where("kind", "==", kind), Where("by", "==", "id"), Where("reason", "==", reason)]
            )
            for reason in ABSENT
        )

    def waiting(self) -> int:
        """How many entries there are."""
        return self._documents.count(COLLECTION)

    def make_due(self, now: datetime, *, reason: str | None = None, kind: str | None = None) -> int:
        """`ops retry`, and a token that is there again: try these now. Returns how many entries that were not due."""
        where = [Where("reason", "==", reason)] if reason else []
        where += [Where("kind", "==", kind)] if kind else []
        found = (from_document(key, data, now) for key, data in self._documents.query(COLLECTION, where))
        waiting = [entry for entry in found if entry is not None and entry.due > now]
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

    def _entries(self, transaction: Transaction, targets: Sequence[Target]) -> dict[Target, Entry]:
        found = transaction.get_all([_path(target) for target in targets])
        now = self._now()
        entries = {
            target: from_document(target.key, found[_path(target)], now) for target in targets if _path(target) in found
        }
        return {target: entry for target, entry in entries.items() if entry is not None}


def _path(target: Target) -> str:
    return f"{COLLECTION}/{target.key}"


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), CHUNK_ENTRIES):
        yield items[start : start + CHUNK_ENTRIES]
