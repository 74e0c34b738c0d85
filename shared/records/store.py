"""The stored records: `<kind>/<id>`, written under the order of `shared.records.ordering` and never otherwise.

Each stored change raises `_sync.version` by one, and is announced in the same transaction
(`shared.records.announcing`). A look that shows the same again does neither.
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
        # What changed is told from the whole of the earlier document; otherwise that need not be read.
        self._read_fields = () if self._announcing.compares else WRITTEN_FIELDS

    def store(self, kind: Kind, key: str, record: dict[str, Any], began: datetime, source: Source) -> Stored:
        """Store what one fetch saw. An unchanged copy is only told that it was looked at.

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
        """Mark as deleted what a fetch that began at `began` did not find, or showed as deleted (`stated`).

        The fields stay. Whether an absence may be believed is decided before, in `shared.records.absence`. until: every
        change up to this instant is known to be included, if that is less than a record that was shown would prove.
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
        """Store a page of a list: one read and at most one commit a chunk, and no write for what has not changed.

        The records of a source that fills the copy are taken for new ones, which need no read; where one of a chunk is
        not, the chunk is stored like any other.
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
        """Those that `store_page` would store now."""
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
        """What became of each record but those that cannot be kept, which go into `failed`."""
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
        """Firestore refuses for more than size; alone, each record shows whether it is the one."""
        judged: dict[str, Stored] = {}
        for one in chunk:
            try:
                judged |= self._judged(kind, [one], began, source)
            except RecordTooLarge as error:
                failed[one.key] = error.reason
        return judged

    def _create(self, kind: Kind, chunk: Sequence[Prepared], began: datetime, source: Source) -> dict[str, Stored]:
        """Raises DocumentExists where one of the records is kept already, and RecordTooLarge."""
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
        """Raises RecordTooLarge."""
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
        """Tell the readers of these records whether their patient is deleted, in `_sync.patient_deleted`."""
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
        """Mark as deleted what a list shows as deleted; most of it is a tombstone already, or was never kept."""
        for start in range(0, len(keys), CHUNK_RECORDS):
            paths = {path_of(kind, key): key for key in keys[start : start + CHUNK_RECORDS]}
            for path, document in self._documents.get_all(list(paths), JUDGED_FIELDS).items():
                copy = copy_of(document)
                if copy is None or not copy.deleted:
                    self.mark_deleted(kind, paths[path], began, source, "deleted_flag", stated=True)

    def _changes(self, kind: Kind, one: Prepared, found: Data | None, meta: Data, *, silent: bool) -> list[Change]:
        """What is to be announced of a record that is written over `found`: one change, or none. silent: not if it is
        new.
        """
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
