"""Stores the pages of lists with few reads and commits. `shared.records.store` stores single records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

from shared.documents import Data, DocumentExists, Documents, Transaction
from shared.drchrono.kinds import Kind, key_of
from shared.errors import RecordTooLarge
from shared.records.announcing import Announce, Announcing
from shared.records.changes import Change, version_after
from shared.records.meta import doubt, kept, looked, meta_of
from shared.records.ordering import Verdict, copy_of, doubted_until, judge
from shared.records.prepared import Prepared, Workbench, chunks, prepare_all
from shared.records.queries import JUDGED_FIELDS, WRITTEN_FIELDS, was_absent
from shared.records.results import WRITTEN, PageResult, Source, Stored


class PageStore:
    def __init__(self, documents: Documents, now: Callable[[], datetime], announcing: Announcing) -> None:
        self._documents = documents
        self._now = now
        self._announcing = announcing

    def store(
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
        store_chunk = partial(self._store_chunk, kind, began=began, source=source, failed=failed)
        judged: dict[str, Stored] = {}
        for stored in self._documents.each(store_chunk, chunks(prepared.values())):
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

    def changed(
        self, kind: Kind, records: Sequence[dict[str, Any]], began: datetime, bench: Workbench | None = None
    ) -> list[dict[str, Any]]:
        """Return the records that `store` would write now."""
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
            announce(
                [change for one in chunk for change in self._announcing.changes(kind, one, None, meta, silent=silent)]
            )
            for one in chunk:
                transaction.create(one.path, one.document(meta, found))

        self._announcing.transact(work)
        return dict.fromkeys((one.key for one in chunk), Stored(Verdict.STORE, None, None))

    def _judged(self, kind: Kind, chunk: Sequence[Prepared], began: datetime, source: Source) -> dict[str, Stored]:
        """Read the stored documents, judge each record, and write those that changed. Raises RecordTooLarge."""
        silent = self._announcing.is_silent(kind, filling=source.fills_kind)

        def work(transaction: Transaction, announce: Announce) -> dict[str, Stored]:
            paths = dict.fromkeys(path for one in chunk for path in one.reads)
            found = transaction.get_all(list(paths), self._announcing.fields)
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
                    changes += self._announcing.changes(kind, one, document, meta, silent=silent)
                    writes[one.path] = one.document(meta, found)
            announce(changes)
            for path, data in writes.items():
                transaction.set(path, data)
            return judged

        return self._announcing.transact(work)
