"""The stored records: `<kind>/<id>`, written under the order of `shared.records.ordering` and never otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from shared.documents import Data, DocumentExists, Documents, Transaction, Where
from shared.drchrono.kinds import Kind, key_of
from shared.drchrono.lag import shown_until
from shared.errors import RecordTooLarge
from shared.records.ordering import Copy, Observation, Verdict, copy_of, judge
from shared.records.prepared import CHUNK_RECORDS, Prepared, chunks, path_of, prepare, prepare_all
from shared.records.queries import JUDGED_FIELDS, WRITTEN_FIELDS, RecordQueries, was_absent
from shared.records.storable import META

Clock = Callable[[], datetime]

MOST_DELIVERIES = 10  # of a record: a delivery that is repeated comes within hours

_WRITTEN = (Verdict.STORE, Verdict.UNSURE)
_DOUBTFUL = (Verdict.UNSURE, Verdict.LAGGING)


@dataclass(frozen=True)
class Source:
    """Where an observation comes from, for the copy's `_sync`. name: `webhook`, `pending`, `sync`, `backfill` or
    `reconcile`. received_at: when the newest event that was known then was received, None where there was none.

    event: its name, of an event that is being handled. deliveries: those that the queue entry of the target stands for.
    They are noted with the copy, because the entry outlives the fetch.
    """

    name: str
    received_at: datetime | None = None
    event: str | None = None
    deliveries: tuple[str, ...] = ()

    @property
    def fills(self) -> bool:
        """Whether most of what it shows is not kept yet."""
        return self.name == "backfill"


@dataclass(frozen=True)
class PageResult:
    """verdicts: how many records met which. stored: the ids of those that were written. new: the ids of those of which
    the copy had no living record. doubtful: the ids of those to look at again. returned: the ids of those that were
    tombstones because they had been absent. failed: ids that cannot be kept, by reason; `?` stands for those without an
    id. versions: the `updated_at` of all that were seen, by id.
    """

    verdicts: Counter[Verdict]
    stored: tuple[str, ...]
    new: tuple[str, ...]
    doubtful: tuple[str, ...]
    returned: tuple[str, ...]
    failed: dict[str, str]
    versions: dict[str, str | None]

    @property
    def keys(self) -> frozenset[str]:
        return frozenset(self.versions)


@dataclass(frozen=True)
class Stored:
    """verdict: what a fetch meant. before, after: the copy then and now. returned: it was a tombstone because it had
    been absent, and is there again.
    """

    verdict: Verdict
    before: Copy | None
    after: Copy | None
    returned: bool = False

    @property
    def is_new(self) -> bool:
        """Whether a record was written of which the copy had no living one."""
        return self.verdict in _WRITTEN and (self.before is None or self.before.deleted)


class Records(RecordQueries):
    def __init__(self, documents: Documents, now: Clock) -> None:
        super().__init__(documents)
        self._now = now

    def store(self, kind: Kind, key: str, record: dict[str, Any], began: datetime, source: Source) -> Stored:
        """Store what one fetch saw. An unchanged copy is only told that it was looked at.

        Raises RecordTooLarge.
        """
        prepared = prepare(kind, key, record)

        def work(transaction: Transaction) -> Stored:
            documents = transaction.get_all(prepared.reads, WRITTEN_FIELDS)
            found = documents.get(prepared.path)
            before = copy_of(found)
            verdict = judge(before, prepared.observation(began))
            if verdict not in (*_WRITTEN, Verdict.SAME):
                return Stored(verdict, before, before)
            meta = self._meta(before, began, source) | _unsure(verdict)
            after = replace(_looked(before, began), digest=prepared.digest, updated_at=prepared.updated_at)
            meta["deliveries"] = _deliveries(before, source)
            if verdict in _WRITTEN:
                transaction.set(prepared.path, prepared.document(meta | _kept(found), documents))
            else:
                looked = {name: meta[name] for name in ("fetched_at", "events_until", "deliveries")}
                transaction.update(prepared.path, {META: (found or {})[META] | looked})
            return Stored(verdict, before, after, returned=was_absent(found))

        return self._documents.transact(work)

    def mark_deleted(
        self, kind: Kind, key: str, began: datetime, source: Source, reason: str, *, stated: bool = False
    ) -> Stored:
        """Mark as deleted what a fetch that began at `began` did not find, or showed as deleted (`stated`).

        The fields stay. Whether an absence may be believed is decided before, in `shared.records.absence`.
        """
        path = path_of(kind, key)

        def work(transaction: Transaction) -> Stored:
            found = transaction.get_all([path], JUDGED_FIELDS).get(path)
            before = copy_of(found)
            verdict = judge(before, Observation(began=began, digest=None, stated=stated))
            if verdict not in (Verdict.TOMBSTONE, Verdict.SAME):
                return Stored(verdict, before, before)
            after = replace(_looked(before, began), digest=None, deleted=True)
            meta = self._meta(before, began, source) | {"digest": None, "deleted": True, "deleted_reason": reason}
            meta["deliveries"] = _deliveries(before, source)
            if verdict is Verdict.SAME and found is not None:
                looked = {name: meta[name] for name in ("fetched_at", "events_until", "deliveries")}
                transaction.update(path, {META: found[META] | looked})
            elif found is None:
                transaction.set(path, {META: meta})
            else:
                transaction.update(path, {META: meta | _kept(found, "json", "patient_deleted", "scheduled_at")})
            return Stored(verdict, before, after)

        return self._documents.transact(work)

    def store_page(self, kind: Kind, records: Iterable[dict[str, Any]], began: datetime, source: Source) -> PageResult:
        """Store a page of a list: one read and at most one commit a chunk, and no write for what has not changed.

        The records of a source that fills the copy are taken for new ones, which need no read; where one of a chunk is
        not, the chunk is stored like any other.
        """
        prepared, failed = prepare_all(kind, records)
        store = partial(self._store_chunk, began=began, source=source, failed=failed)
        judged: dict[str, Stored] = {}
        for stored in self._documents.each(store, chunks(prepared.values())):
            judged |= stored
        return PageResult(
            verdicts=Counter(stored.verdict for stored in judged.values()),
            stored=tuple(key for key, stored in judged.items() if stored.verdict in _WRITTEN),
            new=tuple(key for key, stored in judged.items() if stored.is_new),
            doubtful=tuple(key for key, stored in judged.items() if stored.verdict in _DOUBTFUL),
            returned=tuple(key for key, stored in judged.items() if stored.returned),
            failed=failed,
            versions=dict.fromkeys(failed) | {key: one.updated_at for key, one in prepared.items()},
        )

    def news(self, kind: Kind, records: Sequence[dict[str, Any]], began: datetime) -> list[dict[str, Any]]:
        """Those that `store_page` would store now."""
        prepared, _ = prepare_all(kind, records)
        found: dict[str, Data] = {}
        for chunk in chunks(prepared.values()):
            found |= self._documents.get_all([one.path for one in chunk], JUDGED_FIELDS)
        new = {
            key
            for key, one in prepared.items()
            if judge(copy_of(found.get(one.path)), one.observation(began)) in _WRITTEN
        }
        return [record for record in records if key_of(kind, record) in new]

    def _store_chunk(
        self, chunk: Sequence[Prepared], began: datetime, source: Source, failed: dict[str, str]
    ) -> dict[str, Stored]:
        """What became of each record but those that cannot be kept, which go into `failed`."""
        try:
            if source.fills:
                with suppress(DocumentExists):
                    return self._create(chunk, began, source)
            return self._judged(chunk, began, source)
        except RecordTooLarge:
            return self._store_singly(chunk, began, source, failed)

    def _store_singly(
        self, chunk: Sequence[Prepared], began: datetime, source: Source, failed: dict[str, str]
    ) -> dict[str, Stored]:
        """Firestore refuses for more than size; alone, each record shows whether it is the one."""
        judged: dict[str, Stored] = {}
        for one in chunk:
            try:
                judged |= self._judged([one], began, source)
            except RecordTooLarge as error:
                failed[one.key] = error.reason
        return judged

    def _create(self, chunk: Sequence[Prepared], began: datetime, source: Source) -> dict[str, Stored]:
        """Raises DocumentExists where one of the records is kept already, and RecordTooLarge."""

        def work(transaction: Transaction) -> None:
            meta = self._meta(None, began, source) | {"deliveries": []}
            doctors = {one.doctor for one in chunk if one.doctor}
            found = transaction.get_all(list(doctors), WRITTEN_FIELDS) if doctors else {}
            for one in chunk:
                transaction.create(one.path, one.document(meta, found))

        self._documents.transact(work)
        return {one.key: Stored(Verdict.STORE, None, None) for one in chunk}

    def _judged(self, chunk: Sequence[Prepared], began: datetime, source: Source) -> dict[str, Stored]:
        """Raises RecordTooLarge."""

        def work(transaction: Transaction) -> dict[str, Stored]:
            paths = dict.fromkeys(path for one in chunk for path in one.reads)
            found = transaction.get_all(list(paths), WRITTEN_FIELDS)
            judged: dict[str, Stored] = {}
            for one in chunk:
                document = found.get(one.path)
                before = copy_of(document)
                verdict = judge(before, one.observation(began))
                written = verdict in _WRITTEN
                judged[one.key] = Stored(verdict, before, None, returned=written and was_absent(document))
                if written:
                    meta = self._meta(before, began, source) | _unsure(verdict) | _kept(document)
                    meta["deliveries"] = list(before.deliveries) if before else []
                    transaction.set(one.path, one.document(meta, found))
            return judged

        return self._documents.transact(work)

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

    def _meta(self, before: Copy | None, began: datetime, source: Source) -> Data:
        looked = _looked(before, began)
        return {
            "fetched_at": looked.fetched_at,
            "stored_at": self._now(),
            "events_until": looked.events_until,
            "received_at": source.received_at,
            "source": source.name,
            "event": source.event,
            "deleted": False,
            "deleted_reason": None,
        }


def _looked(before: Copy | None, began: datetime) -> Copy:
    """The copy's times after a look that began at `began`: they never go back, though a look may be stored late."""
    fetched_at = began if before is None else max(before.fetched_at, began)
    until = shown_until(began) if before is None else max(before.events_until, shown_until(began))
    return Copy(fetched_at, until, None, before.updated_at if before else None, deleted=False)


def _deliveries(before: Copy | None, source: Source) -> list[str]:
    known = (*(before.deliveries if before else ()), *source.deliveries)
    return list(dict.fromkeys(known))[-MOST_DELIVERIES:]


def _unsure(verdict: Verdict) -> Data:
    return {"unsure": True} if verdict is Verdict.UNSURE else {}


def _kept(found: Data | None, *names: str) -> Data:
    """What of an earlier `_sync` outlives a new look."""
    meta = (found or {}).get(META)
    return (
        {name: meta[name] for name in names or ("patient_deleted",) if name in meta} if isinstance(meta, dict) else {}
    )
