"""The stored records, `<kind>/<id>`. A fetch is written only if `shared.records.ordering` allows it.

Each stored change increases `_sync.version` by one and is announced in the same transaction
(`shared.records.announcing`). A fetch that shows an unchanged record does neither.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from shared.documents import Documents, Transaction, Where
from shared.drchrono.ids import spellings
from shared.drchrono.kinds import Kind
from shared.records.announcing import Announce, Announcing
from shared.records.changes import Difference, change_of, version_after
from shared.records.meta import deliveries_after, doubt, kept, looked, meta_of, seen_again
from shared.records.ordering import Observation, Verdict, copy_of, doubted_until, judge
from shared.records.page_store import PageStore
from shared.records.prepared import CHUNK_RECORDS, path_of, prepare
from shared.records.queries import JUDGED_FIELDS, RecordQueries, was_absent
from shared.records.results import WRITTEN, PageResult, Source, Stored
from shared.records.storable import META

__all__ = ["PageResult", "Records", "Source", "Stored"]

Clock = Callable[[], datetime]


class Records(RecordQueries):
    """pages: stores the pages of lists."""

    def __init__(self, documents: Documents, now: Clock, announcing: Announcing | None = None) -> None:
        super().__init__(documents)
        self._now = now
        self._announcing = announcing or Announcing(documents)
        self.pages = PageStore(documents, now, self._announcing)

    def store(self, kind: Kind, key: str, record: dict[str, Any], began: datetime, source: Source) -> Stored:
        """Store the record that one fetch showed. If it is unchanged, update only the times and deliveries in `_sync`.

        Raises RecordTooLarge.
        """
        prepared = prepare(kind, key, record)
        silent = self._announcing.is_silent(kind, filling=source.fills_kind)

        def work(transaction: Transaction, announce: Announce) -> Stored:
            documents = transaction.get_all(prepared.reads, self._announcing.fields)
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
                announce(self._announcing.changes(kind, prepared, found, meta, silent=silent))
                transaction.set(prepared.path, prepared.document(meta, documents))
            else:
                transaction.update(prepared.path, {META: seen_again(found, meta)})
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
                transaction.update(path, {META: seen_again(found, meta)})
                return Stored(verdict, before, after)
            meta["version"] = version_after(found)
            announce([change_of(kind, key, path, before, meta, Difference({}, {}))])
            if found is None:
                transaction.set(path, {META: meta})
            else:
                transaction.update(path, {META: meta | kept(found, "json", "patient_deleted", "scheduled_at")})
            return Stored(verdict, before, after)

        return self._announcing.transact(work)

    def mark_orphans(self, kind: Kind, patient: str, *, deleted: bool) -> None:
        """Record in `_sync.patient_deleted` of the patient's records whether the patient is deleted."""
        for owner in spellings(patient):
            where = [Where("patient", "==", owner)]
            for name, document in self._documents.query(kind.name, where, fields=JUDGED_FIELDS):
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
