"""The stored records: `<kind>/<id>`, written under the order of `shared.records.ordering` and never otherwise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.documents import Data, Documents, Transaction, Where
from shared.drchrono.kinds import Kind, key_of
from shared.errors import RecordTooLarge
from shared.records.ordering import CLOCK_SKEW, Copy, Observation, Verdict, copy_of, judge
from shared.records.storable import META, Parts, digest, split

Clock = Callable[[], datetime]

# One commit holds at most 10 MiB, and a longer one holds up others that want the same documents.
CHUNK_RECORDS = 100
CHUNK_BYTES = 4_000_000
WALK_DOCUMENTS = 500

_JUDGED_FIELDS = (META, "updated_at")


@dataclass(frozen=True)
class Source:
    """Where a observation comes from, for the copy's `_sync`: `webhook`, `pending`, `sync`, `backfill`, `reconcile`;
    the event if any.

    events_until: when the newest event that was known when the fetch began was received; None where there was none.
    """

    name: str
    event: str | None = None
    events_until: datetime | None = None


@dataclass(frozen=True)
class PageResult:
    """verdicts: how many records met which. stored, lagging: the ids of two of them. failed: ids that cannot be kept,
    by reason; `?` stands for those without an id. keys: all ids that were seen.
    """

    verdicts: Counter[Verdict]
    stored: tuple[str, ...]
    lagging: tuple[str, ...]
    failed: dict[str, str]
    keys: frozenset[str]


class Records:
    def __init__(self, documents: Documents, now: Clock) -> None:
        self._documents = documents
        self._now = now

    def copy(self, kind: Kind, key: str) -> Copy | None:
        path = f"{kind.name}/{key}"
        return copy_of(self._documents.get_all([path], _JUDGED_FIELDS).get(path))

    def store(self, kind: Kind, key: str, record: dict[str, Any], began: datetime, source: Source) -> Verdict:
        """Store what one fetch saw. An unchanged copy is only told that it was looked at.

        Raises RecordTooLarge.
        """
        prepared = _prepare(kind, key, record)

        def work(transaction: Transaction) -> Verdict:
            found = transaction.get_all([prepared.path], _JUDGED_FIELDS).get(prepared.path)
            verdict = judge(copy_of(found), prepared.observation(began))
            if verdict is Verdict.STORE:
                transaction.set(prepared.path, prepared.document(self._meta(began, source)))
            elif verdict is Verdict.SAME and found is not None:
                looked = {"fetched_at": began, "events_until": _events_until(began, source)}
                transaction.update(prepared.path, {META: {**found[META], **looked}})
            return verdict

        return self._documents.transact(work)

    def mark_deleted(self, kind: Kind, key: str, began: datetime, source: Source, reason: str) -> Verdict:
        """Mark as deleted what a fetch that began at `began` did not find; the fields stay."""
        path = f"{kind.name}/{key}"

        def work(transaction: Transaction) -> Verdict:
            found = transaction.get_all([path], _JUDGED_FIELDS).get(path)
            verdict = judge(copy_of(found), Observation(began=began, digest=None))
            if verdict is Verdict.TOMBSTONE:
                meta = {**self._meta(began, source), "digest": None, "deleted": True, "deleted_reason": reason}
                if found is None:
                    transaction.set(path, {META: meta})
                else:
                    kept = {"json": found[META]["json"]} if "json" in found[META] else {}
                    transaction.update(path, {META: meta | kept})
            return verdict

        return self._documents.transact(work)

    def store_page(self, kind: Kind, records: Iterable[dict[str, Any]], began: datetime, source: Source) -> PageResult:
        """Store a page of a list: one read and at most one commit a chunk, and no write for what has not changed."""
        prepared, failed = _prepare_all(kind, records)
        judged: dict[str, Verdict] = {}
        for chunk in _chunks(prepared.values()):
            try:
                judged |= self._store_chunk(chunk, began, source)
            except RecordTooLarge:
                # Firestore refuses for more than size; alone, each record shows whether it is the one.
                for one in chunk:
                    try:
                        judged |= self._store_chunk([one], began, source)
                    except RecordTooLarge as error:
                        failed[one.key] = error.reason
        return PageResult(
            verdicts=Counter(judged.values()),
            stored=tuple(key for key, verdict in judged.items() if verdict is Verdict.STORE),
            lagging=tuple(key for key, verdict in judged.items() if verdict is Verdict.LAGGING),
            failed=failed,
            keys=frozenset(prepared) | failed.keys(),
        )

    def news(self, kind: Kind, records: Sequence[dict[str, Any]], began: datetime) -> list[dict[str, Any]]:
        """Those that `store_page` would store now."""
        prepared, _ = _prepare_all(kind, records)
        found: dict[str, Data] = {}
        for chunk in _chunks(prepared.values()):
            found |= self._documents.get_all([one.path for one in chunk], _JUDGED_FIELDS)
        new = {
            key
            for key, one in prepared.items()
            if judge(copy_of(found.get(one.path)), one.observation(began)) is Verdict.STORE
        }
        return [record for record in records if key_of(kind, record) in new]

    def _store_chunk(self, chunk: Sequence[_Prepared], began: datetime, source: Source) -> dict[str, Verdict]:
        def work(transaction: Transaction) -> dict[str, Verdict]:
            found = transaction.get_all([one.path for one in chunk], _JUDGED_FIELDS)
            judged = {one.key: judge(copy_of(found.get(one.path)), one.observation(began)) for one in chunk}
            for one in chunk:
                if judged[one.key] is Verdict.STORE:
                    transaction.set(one.path, one.document(self._meta(began, source)))
            return judged

        return self._documents.transact(work)

    def living(self, kind: Kind, where: Sequence[Where] = ()) -> Iterator[tuple[str, Copy]]:
        """The ids and copies that are not tombstones, by id."""
        after: str | None = None
        while True:
            page = list(
                self._documents.query(kind.name, where, limit=WALK_DOCUMENTS, after_id=after, fields=_JUDGED_FIELDS)
            )
            for key, document in page:
                copy = copy_of(document)
                if copy is not None and not copy.deleted:
                    yield key, copy
            if len(page) < WALK_DOCUMENTS:
                return
            after = page[-1][0]

    def count(self, kind: Kind) -> int:
        """Tombstones included."""
        return self._documents.count(kind.name)

    def keys(self, kind: Kind, *, after: str | None, most: int) -> list[str]:
        """The next ids in their order, tombstones included."""
        return [key for key, _ in self._documents.query(kind.name, limit=most, after_id=after, fields=[META])]

    def mark_listed_deleted(self, kind: Kind, keys: Sequence[str], began: datetime, source: Source) -> None:
        """Mark as deleted what a list shows as deleted; most of it is a tombstone already, or was never kept."""
        for start in range(0, len(keys), CHUNK_RECORDS):
            paths = {f"{kind.name}/{key}": key for key in keys[start : start + CHUNK_RECORDS]}
            for path, document in self._documents.get_all(list(paths), _JUDGED_FIELDS).items():
                if not document[META]["deleted"]:
                    self.mark_deleted(kind, paths[path], began, source, "deleted_flag")

    def _meta(self, began: datetime, source: Source) -> Data:
        return {
            "fetched_at": began,
            "stored_at": self._now(),
            "events_until": _events_until(began, source),
            "received_at": source.events_until,
            "source": source.name,
            "event": source.event,
            "deleted": False,
            "deleted_reason": None,
        }


@dataclass(frozen=True)
class _Prepared:
    key: str
    path: str
    parts: Parts
    digest: str
    updated_at: str | None

    def observation(self, began: datetime) -> Observation:
        return Observation(began=began, digest=self.digest, updated_at=self.updated_at)

    def document(self, meta: Data) -> Data:
        extra = {"digest": self.digest} | ({"json": self.parts.json} if self.parts.json is not None else {})
        return {**self.parts.native, META: meta | extra}


def _prepare(kind: Kind, key: str, record: dict[str, Any]) -> _Prepared:
    updated_at = record.get("updated_at")
    return _Prepared(
        key=key,
        path=f"{kind.name}/{key}",
        parts=split(record),
        digest=digest(record, kind.volatile),
        updated_at=updated_at if isinstance(updated_at, str) else None,
    )


def _prepare_all(kind: Kind, records: Iterable[dict[str, Any]]) -> tuple[dict[str, _Prepared], dict[str, str]]:
    """By id; and the reason for each that cannot be stored (`?` stands for those without an id)."""
    prepared: dict[str, _Prepared] = {}
    failed: dict[str, str] = {}
    for record in records:
        key = key_of(kind, record)
        if key is None:
            failed["?"] = "no_id"
            continue
        try:
            prepared[key] = _prepare(kind, key, record)
        except RecordTooLarge as error:
            failed[key] = error.reason
    return prepared, failed


def _events_until(began: datetime, source: Source) -> datetime:
    by_clock = began - CLOCK_SKEW
    return by_clock if source.events_until is None else max(by_clock, source.events_until)


def _chunks(prepared: Iterable[_Prepared]) -> Iterator[list[_Prepared]]:
    chunk: list[_Prepared] = []
    size = 0
    for one in prepared:
        if chunk and (len(chunk) == CHUNK_RECORDS or size + one.parts.size > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(one)
        size += one.parts.size
    if chunk:
        yield chunk
