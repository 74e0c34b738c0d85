"""The methods that the store benchmark compares: this system's, prepared messages or rows, and the library's."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

from google.cloud import firestore

from shared.cloud.firestore import FirestoreDocuments
from shared.cloud.firestore_calls import Calls, call_options, translated
from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.records.prepared import Prepared, chunks, prepare_all
from shared.records.storable import META
from shared.records.store import Records, Source
from workstation.embedded_documents import EmbeddedDocuments

PATIENTS = KINDS["patients"]
PAGE = 1000  # records, as in DrChrono's bulk lists
BATCH = 500  # documents, as users of the library choose

Record = dict[str, Any]
T = TypeVar("T")


def now() -> datetime:
    return datetime.now(timezone.utc)


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def documents_of(records: Sequence[Record]) -> list[tuple[Prepared, Record]]:
    """Return the documents that the system writes for these records."""
    at = now()
    meta: Record = {"fetched_at": at, "stored_at": at, "events_until": at, "received_at": None, "source": "backfill"}
    meta |= {"event": None, "deleted": False, "deleted_reason": None, "deliveries": []}
    prepared, _ = prepare_all(PATIENTS, records)
    return [(one, one.document(meta, {})) for one in prepared.values()]


def by_system(documents: Documents, records: Sequence[Record]) -> Callable[[], object]:
    def work() -> None:
        storing = Records(documents, now)
        for page in batches(records, PAGE):
            result = storing.pages.store(PATIENTS, page, now(), Source("backfill"))
            assert len(result.keys) == len(page)
            assert not result.failed

    return work


def ready_made(client: firestore.Client, records: Sequence[Record]) -> Callable[[], object]:
    """The system's commits, prepared in advance."""
    calls = Calls(client, call_options(60))
    ready = documents_of(records)
    documents = {one.path: document for one, document in ready}
    commits = []
    for chunk in chunks(one for one, _ in ready):
        commits.append(calls.writes())
        for one in chunk:
            commits[-1].set(one.path, documents[one.path])

    def work() -> None:
        with translated():
            FirestoreDocuments(client).each(calls.commit, commits)

    return work


def by_library(client: firestore.Client, records: Sequence[Record]) -> Callable[[], object]:
    ready = documents_of(records)

    def work() -> None:
        for some in batches(ready, BATCH):
            batch = client.batch()
            for one, document in some:
                batch.set(client.document(one.path), document)
            batch.commit(timeout=60)

    return work


def rows_only(file: Path, records: Sequence[Record]) -> Callable[[], object]:
    """Write prepared texts into the embedded store's table."""
    store = EmbeddedDocuments(file)
    texts = [("patients", one.key, json.dumps({**one.parts.native, META: None})) for one, _ in documents_of(records)]

    def work() -> None:
        with store._connection() as connection:
            for some in batches(texts, BATCH):
                connection.execute("begin immediate")
                connection.executemany("insert into documents values (?, ?, ?)", some)
                connection.execute("commit")

    return work


def methods(records: Sequence[Record], folder: Path) -> dict[str, Callable[[], object]]:
    """Return the methods, each with an empty store of its own."""

    def project() -> firestore.Client:
        return firestore.Client(project=f"bench-{uuid.uuid4().hex[:8]}")

    def file() -> Path:
        return folder / f"{uuid.uuid4().hex}.sqlite3"

    return {
        "emulator: ready-made messages": ready_made(project(), records),
        "emulator: this system": by_system(FirestoreDocuments(project()), records),
        "emulator: the library's batch.set": by_library(project(), records),
        "embedded: ready-made rows": rows_only(file(), records),
        "embedded: this system": by_system(EmbeddedDocuments(file()), records),
    }
