"""The work queue `sync_pending`: one document per target, claimed by one worker at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from shared.documents import DocumentExists, Transaction, Where
from shared.drchrono.lag import Evidence, provable_from
from shared.log import log
from shared.queue.encoding import from_document, target_of, to_document
from shared.queue.entries import BEHIND_RETRY, Entry, Priority, Target, is_done, merge
from shared.queue.queries import COLLECTION, Backlog, Pending, QueueQueries, path_of

__all__ = ["COLLECTION", "LEASE", "Backlog", "Pending", "WorkQueue"]

T = TypeVar("T")

# Longer than the slowest fetch of one target and its retry. Then the entry of a crashed worker is due again.
LEASE = timedelta(minutes=2)

CHUNK_ENTRIES = 200


class WorkQueue(QueueQueries):
    def enqueue(self, entries: Iterable[Entry]) -> None:
        """Add entries, or merge them into the existing entries of their targets."""
        merged: dict[str, Entry] = {}
        for entry in entries:
            merged[entry.target.key] = merge(merged.get(entry.target.key), entry)
        self._documents.each(self._add, _chunks(list(merged.values())))

    def _add(self, entries: Sequence[Entry]) -> None:
        """Create the entries without reading. If one of the targets has an entry already, read and merge all."""

        def create(transaction: Transaction) -> None:
            for entry in entries:
                transaction.create(path_of(entry.target), to_document(entry))

        def merge_all(transaction: Transaction) -> None:
            there = self._entries(transaction, [entry.target for entry in entries])
            for entry in entries:
                transaction.set(path_of(entry.target), to_document(merge(there.get(entry.target), entry)))

        try:
            self._documents.transact(create)
        except DocumentExists:
            self._documents.transact(merge_all)

    def claim(self, now: datetime, most: int, lowest: Priority, highest: Priority = Priority.EVENT) -> list[Entry]:
        """Lease up to `most` due entries of the priorities `highest` to `lowest` to the caller, and return them.

        Sorted by priority, then by due time. A claim moves the due time to the end of the lease. So no other worker
        finds the entry, and the entry of a crashed worker becomes due again.
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
            # Entries that another worker claimed, completed or postponed since the query are no longer due.
            entries = [entry for entry in self._entries(transaction, targets).values() if entry.due <= now]
            leased = [replace(entry, due=now + LEASE, lease_until=now + LEASE) for entry in entries]
            for entry in leased:
                transaction.set(path_of(entry.target), to_document(entry))
            return leased

        return self._documents.transact(work)

    def complete(self, target: Target, evidence: Evidence) -> bool:
        """Remove the entry if `evidence` proves all its events. Otherwise postpone it until a fetch can prove them.

        Return whether no entry is left.
        """

        def work(transaction: Transaction) -> bool:
            entry = self._entries(transaction, [target]).get(target)
            if entry is None:
                return True
            if is_done(entry, evidence):
                transaction.delete(path_of(target))
                return True
            due = provable_from(entry.last_seen)
            if evidence.until >= entry.last_seen:
                due = self._now() + BEHIND_RETRY
            transaction.set(path_of(target), to_document(replace(entry, reason="lag", due=due, lease_until=None)))
            return False

        return self._documents.transact(work)

    def complete_listed(self, kind: str, shown: Mapping[str, Evidence]) -> int:
        """Remove the entries whose events a list has proved. `shown`: evidence by id. Return how many."""
        return self.complete_all({Target(kind, key): evidence for key, evidence in shown.items()})

    def proved_lists(self, kind: str, evidence: Evidence) -> list[Target]:
        """Return the lists of single patients whose events a list of the practice has proved."""
        where = [Where("kind", "==", kind), Where("by", "==", "patient")]
        found = (from_document(key, data, self._now()) for key, data in self._documents.query(COLLECTION, where))
        return [entry.target for entry in found if entry is not None and is_done(entry, evidence)]

    def complete_all(self, proved: Mapping[Target, Evidence]) -> int:
        """Remove the entries whose events are proved, and leave the others as they are. Return how many."""
        completed = 0
        for chunk in _chunks(list(proved)):

            def work(transaction: Transaction, chunk: Sequence[Target] = chunk) -> int:
                entries = self._entries(transaction, chunk)
                done = [target for target, entry in entries.items() if is_done(entry, proved[target])]
                for target in done:
                    transaction.delete(path_of(target))
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
        """Postpone a claimed entry after an attempt. An event that arrived meanwhile makes it due at once."""

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
            transaction.set(path_of(entry.target), to_document(postponed))

        self._documents.transact(work)

    def release(self, entries: Iterable[Entry], due: datetime) -> None:
        """Give claimed entries back without an attempt, due at `due`."""
        for chunk in _chunks([entry.target for entry in entries]):

            def work(transaction: Transaction, chunk: Sequence[Target] = chunk) -> None:
                for target, entry in self._entries(transaction, chunk).items():
                    transaction.set(path_of(target), to_document(replace(entry, due=due, lease_until=None)))

            self._documents.transact(work)

    def repair(self) -> int:
        """Rebuild the entries that no query finds, because a field is missing or wrong. Return how many.

        Compares counts first, and reads the whole queue only if they differ.
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

    def make_due(self, now: datetime, *, reason: str | None = None, kind: str | None = None) -> int:
        """Make entries due now, by reason and kind if given. Return how many were not due."""
        where = [Where("reason", "==", reason)] if reason else []
        where += [Where("kind", "==", kind)] if kind else []
        found = (from_document(key, data, now) for key, data in self._documents.query(COLLECTION, where))
        waiting = [entry for entry in found if entry is not None and entry.due > now]
        self.release(waiting, now)
        return len(waiting)

    def _entries(self, transaction: Transaction, targets: Sequence[Target]) -> dict[Target, Entry]:
        found = transaction.get_all([path_of(target) for target in targets])
        now = self._now()
        entries = {
            target: from_document(target.key, found[path_of(target)], now)
            for target in targets
            if path_of(target) in found
        }
        return {target: entry for target, entry in entries.items() if entry is not None}


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), CHUNK_ENTRIES):
        yield items[start : start + CHUNK_ENTRIES]
