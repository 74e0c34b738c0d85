"""The stored records, `<kind>/<id>`. A fetch is written only if `shared.records.ordering` allows it.

Each stored change increases `_sync.version` by one and is announced in the same transaction
(`shared.records.announcing`). A fetch that shows an unchanged record does neither.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from shared.documents import Data, DocumentExists, Documents, Transaction, Where
from shared.drchrono.kinds import Kind, key_of
from shared.errors import RecordTooLarge
from shared.feed.entries import Entry, names
from shared.records.announcing import Announce, Announcing
from shared.records.changes import Change, Difference, difference, operation_of, version_after
from shared.records.meta import deliveries_after, doubt, kept, looked, meta_of
from shared.records.ordering import Copy, Observation, Verdict, copy_of, doubted_until, judge
from shared.records.prepared import CHUNK_RECORDS, Prepared, Workbench, chunks, path_of, prepare, prepare_all
from shared.records.queries import JUDGED_FIELDS, WRITTEN_FIELDS, RecordQueries, was_absent
from shared.records.results import WRITTEN, PageResult, Source, Stored
from shared.records.storable import META, join

__all__ = ["PageResult", "Records", "Source", "Stored"]

Clock = Callable[[], datetime]

_LOOKED = ("fetched_at", "events_until", "deliveries")


class Records(RecordQueries):
    def __init__(self, documents: Documents, now: Clock, announcing: Announcing | None = None) -> None:
        super().__init__(documents)
        self._now = now
        self._announcing = announcing or Announcing(documents)
        # Announcing compares with the whole earlier document. Without it, a few fields are enough.
        self._read_fields = () if self._announcing.compares else WRITTEN_FIELDS

    def store(self, kind: Kind, key: str, record: dict[str, Any], began: datetime, source: Source) -> Stored:
        """Store the record that one fetch showed. If it is unchanged, update only the times and deliveries in `_sync`.

        Raises RecordTooLarge.
        """
        prepared = prepare(kind, key, record)
        silent = self._announcing.is_silent(kind, filling=source.fills_kind)

        def work(transaction: Transaction, announce: Announce) -> Stored:
            documents = transaction.get_all(prepared.reads, self._read_fields)
            found = documents.get(prepared.path)
            before = copy_of(found)
            verdict = judge(before, prepared.observation(began))
            if verdict not in (*WRITTEN, Verdict.SAME):
                return Stored(verdict, before, before)
            seen, doubted = looked(before, began), doubted_until(before, verdict, began)
            meta = meta_of(seen, source, self._now()) | doubt(doubted)
            meta["deliveries"] = deliveries_after(before, source)
            if verdict in WRITTEN:
                meta |= {"version": version_after(found)} | kept(found)
                announce(self._changes(kind, prepared, found, meta, silent=silent))
                transaction.set(prepared.path, prepared.document(meta, documents))
            else:
                transaction.update(prepared.path, {META: (found or {})[META] | _only_looked(meta)})
            after = replace(seen, digest=prepared.digest, updated_at=prepared.updated_at)
            return Stored(verdict, before, after, doubted, returned=was_absent(found))

        return self._announcing.transact(work)

    def mark_deleted(
        self,
        kind: Kind,
        key: str,
        began: datetime,
        source: Source,
        reason: str,
        *,
        stated: bool = False,
        until: datetime | None = None,
    ) -> Stored:
        """Mark a record as deleted that a fetch begun at `began` did not find, or showed as deleted (`stated`).

        The fields stay. The caller decides whether to believe an absence (`shared.records.absence`). until: the fetch
        proves the changes up to this instant, if that is less than an answer with a record would prove.
        """
        path = path_of(kind, key)

        def work(transaction: Transaction, announce: Announce) -> Stored:
            found = transaction.get_all([path], JUDGED_FIELDS).get(path)
            before = copy_of(found)
            verdict = judge(before, Observation(began=began, digest=None, stated=stated))
            if verdict not in (Verdict.TOMBSTONE, Verdict.SAME):
                return Stored(verdict, before, before)
            seen = looked(before, began, until)
            after = replace(seen, digest=None, deleted=True)
            meta = meta_of(seen, source, self._now())
            meta |= {"digest": None, "deleted": True, "deleted_reason": reason}
            meta["deliveries"] = deliveries_after(before, source)
            if verdict is Verdict.SAME and found is not None:
                transaction.update(path, {META: found[META] | _only_looked(meta)})
                return Stored(verdict, before, after)
            meta["version"] = version_after(found)
            announce([self._change(kind, key, path, before, meta, Difference({}, {}))])
            if found is None:
                transaction.set(path, {META: meta})
            else:
                transaction.update(path, {META: meta | kept(found, "json", "patient_deleted", "scheduled_at")})
            return Stored(verdict, before, after)

        return self._announcing.transact(work)

    def store_page(
        self,
        kind: Kind,
        records: Iterable[dict[str, Any]],
        began: datetime,
        source: Source,
        bench: Workbench | None = None,
    ) -> PageResult:
        """Store a page of a list: at most one read and one commit per chunk, and no write for unchanged records.

        The records of a source that fills the copy are assumed to be new and are not read first. If a record of a chunk
        exists already, the chunk is stored like any other.
        """
        prepared, failed = prepare_all(kind, records, bench)
        store = partial(self._store_chunk, kind, began=began, source=source, failed=failed)
        judged: dict[str, Stored] = {}
        for stored in self._documents.each(store, chunks(prepared.values())):
            judged |= stored
        return PageResult(
            verdicts=Counter(stored.verdict for stored in judged.values()),
            stored=tuple(key for key, stored in judged.items() if stored.verdict in WRITTEN),
            new=tuple(key for key, stored in judged.items() if stored.is_new),
            doubtful=tuple(key for key, stored in judged.items() if stored.is_doubtful),
            returned=tuple(key for key, stored in judged.items() if stored.returned),
            failed=failed,
            versions=dict.fromkeys(failed) | {key: one.updated_at for key, one in prepared.items()},
        )

    def news(
        self, kind: Kind, records: Sequence[dict[str, Any]], began: datetime, bench: Workbench | None = None
    ) -> list[dict[str, Any]]:
        """Return the records that `store_page` would write now."""
        prepared, _ = prepare_all(kind, records, bench)
        found: dict[str, Data] = {}
        for chunk in chunks(prepared.values()):
            found |= self._documents.get_all([one.path for one in chunk], JUDGED_FIELDS)
        new = {
            key
            for key, one in prepared.items()
            if judge(copy_of(found.get(one.path)), one.observation(began)) in WRITTEN
        }
        return [record for record in records if key_of(kind, record) in new]

    def _store_chunk(
        self, kind: Kind, chunk: Sequence[Prepared], began: datetime, source: Source, failed: dict[str, str]
    ) -> dict[str, Stored]:
        """Return the result of each record. Adds those that cannot be stored to `failed` instead."""
        try:
            if source.fills:
                with suppress(DocumentExists):
                    return self._create(kind, chunk, began, source)
            return self._judged(kind, chunk, began, source)
        except RecordTooLarge:
            return self._store_singly(kind, chunk, began, source, failed)

    def _store_singly(
        self, kind: Kind, chunk: Sequence[Prepared], began: datetime, source: Source, failed: dict[str, str]
    ) -> dict[str, Stored]:
        """Store each record alone, to find which one Firestore rejects. It has more limits than the size."""
        judged: dict[str, Stored] = {}
        for one in chunk:
            try:
                judged |= self._judged(kind, [one], began, source)
            except RecordTooLarge as error:
                failed[one.key] = error.reason
        return judged

    def _create(self, kind: Kind, chunk: Sequence[Prepared], began: datetime, source: Source) -> dict[str, Stored]:
        """Create the documents without reading them. Raises DocumentExists if one exists, and RecordTooLarge."""
        silent = self._announcing.is_silent(kind, filling=source.fills_kind)

        def work(transaction: Transaction, announce: Announce) -> None:
            meta = meta_of(looked(None, began), source, self._now()) | {"deliveries": [], "version": 1}
            doctors = {one.doctor for one in chunk if one.doctor}
            found = transaction.get_all(list(doctors), WRITTEN_FIELDS) if doctors else {}
            announce([change for one in chunk for change in self._changes(kind, one, None, meta, silent=silent)])
            for one in chunk:
                transaction.create(one.path, one.document(meta, found))

        self._announcing.transact(work)
        return dict.fromkeys((one.key for one in chunk), Stored(Verdict.STORE, None, None))

    def _judged(self, kind: Kind, chunk: Sequence[Prepared], began: datetime, source: Source) -> dict[str, Stored]:
        """Read the stored documents, judge each record, and write those that changed. Raises RecordTooLarge."""
        silent = self._announcing.is_silent(kind, filling=source.fills_kind)

        def work(transaction: Transaction, announce: Announce) -> dict[str, Stored]:
            paths = dict.fromkeys(path for one in chunk for path in one.reads)
            found = transaction.get_all(list(paths), self._read_fields)
            judged: dict[str, Stored] = {}
            writes: dict[str, Data] = {}
            changes: list[Change] = []
            for one in chunk:
                document = found.get(one.path)
                before = copy_of(document)
                verdict = judge(before, one.observation(began))
                written, doubted = verdict in WRITTEN, doubted_until(before, verdict, began)
                judged[one.key] = Stored(verdict, before, None, doubted, returned=written and was_absent(document))
                if written:
                    meta = meta_of(looked(before, began), source, self._now()) | doubt(doubted) | kept(document)
                    meta["version"] = version_after(document)
                    meta["deliveries"] = list(before.deliveries) if before else []
                    changes += self._changes(kind, one, document, meta, silent=silent)
                    writes[one.path] = one.document(meta, found)
            announce(changes)
            for path, data in writes.items():
                transaction.set(path, data)
            return judged

        return self._announcing.transact(work)

    def mark_orphans(self, kind: Kind, owner: Where, *, deleted: bool) -> None:
        """Record in `_sync.patient_deleted` of the owner's records whether their patient is deleted."""
        for name, document in self._documents.query(kind.name, [owner], fields=JUDGED_FIELDS):
            if copy_of(document) is not None and bool(document[META].get("patient_deleted")) is not deleted:
                self._mark_orphan(f"{kind.name}/{name}", deleted=deleted)

    def _mark_orphan(self, path: str, *, deleted: bool) -> None:
        def work(transaction: Transaction) -> None:
            found = transaction.get_all([path], [META]).get(path)
            if found is not None:
                transaction.update(path, {META: found[META] | {"patient_deleted": deleted}})

        self._documents.transact(work)

    def mark_listed_deleted(self, kind: Kind, keys: Sequence[str], began: datetime, source: Source) -> None:
        """Mark as deleted the stored records that a list shows as deleted. Most are tombstones or were never stored."""
        for start in range(0, len(keys), CHUNK_RECORDS):
            paths = {path_of(kind, key): key for key in keys[start : start + CHUNK_RECORDS]}
            for path, document in self._documents.get_all(list(paths), JUDGED_FIELDS).items():
                copy = copy_of(document)
                if copy is None or not copy.deleted:
                    self.mark_deleted(kind, paths[path], began, source, "deleted_flag", stated=True)

    def _changes(self, kind: Kind, one: Prepared, found: Data | None, meta: Data, *, silent: bool) -> list[Change]:
        """Return the change to announce when a record replaces `found`: one or none. silent: none if it is new."""

        before = copy_of(found)
        if not self._announcing.compares or (before is None and silent):
            return []
        return [self._change(kind, one.key, one.path, before, meta, difference(join(found or {}), one.record))]

    @staticmethod
    def _change(kind: Kind, key: str, path: str, before: Copy | None, meta: Data, differs: Difference) -> Change:
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


def _only_looked(meta: Mapping[str, Any]) -> Data:
    return {name: meta[name] for name in _LOOKED}
