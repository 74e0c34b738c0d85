"""Firestore as `shared.documents.Documents`."""

from __future__ import annotations

import contextvars
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any, TypeVar, cast

from google.api_core.exceptions import Aborted, AlreadyExists, FailedPrecondition, NotFound
from google.cloud import firestore

from shared.cloud.firestore_calls import TIMEOUT_SECONDS, Calls, Found, call_options, translated
from shared.documents import Data, DocumentExists, Snapshot, Transaction, Where
from shared.errors import StoreUnavailable
from shared.settings import CloudSettings

T = TypeVar("T")
Item = TypeVar("Item")

# If N instances write one document at once, one succeeds in each round. This is enough for some dozens, in seconds.
MOST_LOSSES = 20
FIRST_PAUSE_SECONDS = 0.02

# A call with a chunk of documents mostly waits. Two at once keep Firestore busy. More would slow down each of them,
# and a call must end within ATTEMPT_SECONDS.
CALLS_AT_ONCE = 2


def connect(settings: CloudSettings) -> FirestoreDocuments:
    """Return the store. The client uses FIRESTORE_EMULATOR_HOST if that is set. Raises StoreUnavailable."""
    with translated():
        return FirestoreDocuments(firestore.Client(project=settings.project, database=settings.database))


class FirestoreDocuments:
    def __init__(self, client: firestore.Client, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._client = client
        self._options = call_options(timeout_seconds)
        self._calls = Calls(client, self._options)
        self._pool: list[ThreadPoolExecutor] = []
        self._pooling = threading.Lock()

    def get(self, path: str) -> Data | None:
        return self.snapshot(path).data

    def snapshot(self, path: str) -> Snapshot:
        with translated():
            [found] = self._calls.read([path], ())
            return Snapshot(found.data, found.read_at)

    def get_all(self, paths: Sequence[str], fields: Sequence[str] = ()) -> dict[str, Data]:
        with translated():
            return _existing(self._calls.read(paths, fields))

    def transact(self, work: Callable[[Transaction], T]) -> T:
        """Optimistic: the commit carries the versions that `work` read. If another commit was first, `work` runs again.

        Firestore's own transactions lock what they read. On a document that every instance writes (the quota), they
        queue or time out. Here the loser of a race pays one more read.
        """
        with translated():
            for loss in range(MOST_LOSSES):
                transaction = _FirestoreTransaction(self._calls)
                result = work(transaction)
                try:
                    transaction.commit()
                except (Aborted, AlreadyExists, FailedPrecondition, NotFound) as error:
                    if transaction.creates and isinstance(error, AlreadyExists):
                        raise DocumentExists from None
                    time.sleep(random.uniform(0.002, FIRST_PAUSE_SECONDS * 2 ** min(loss, 5)))  # noqa: S311 (jitter)
                else:
                    return result
        raise StoreUnavailable("Firestore: too much contention on a document")

    def each(self, work: Callable[[Item], T], items: Iterable[Item]) -> list[T]:
        """Run CALLS_AT_ONCE at a time. If one fails, those that have not begun are left out."""
        todo = list(items)
        if len(todo) < 2:
            return [work(item) for item in todo]
        futures = [self._threads().submit(contextvars.copy_context().run, work, item) for item in todo]
        wait(futures, return_when=FIRST_EXCEPTION)
        for future in futures:
            future.cancel()
        wait(futures)
        # They begin in order, so all items that are left out come after the one that failed.
        return [future.result() for future in futures]

    def _threads(self) -> ThreadPoolExecutor:
        with self._pooling:
            if not self._pool:
                self._pool.append(ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="firestore"))
        return self._pool[0]

    def query(
        self,
        collection: str,
        where: Sequence[Where] = (),
        *,
        order_by: Sequence[str] = (),
        limit: int | None = None,
        after_id: str | None = None,
        fields: Sequence[str] = (),
    ) -> Iterator[tuple[str, Data]]:
        reference = self._client.collection(collection)
        query = _filtered(reference, where)
        for name in order_by or ("__name__",):
            query = query.order_by(name)
        if after_id is not None:
            query = query.start_after({"__name__": reference.document(after_id)})
        if fields:
            query = query.select(list(fields))
        if limit is not None:
            query = query.limit(limit)
        with translated():
            # The library resumes a broken stream after the last document, with the full limit.
            for snapshot in islice(query.stream(**self._options), limit):
                yield snapshot.id, cast("Data", snapshot.to_dict())

    def count(self, collection: str, where: Sequence[Where] = ()) -> int:
        with translated():
            counted: Any = _filtered(self._client.collection(collection), where).count()
            answer = counted.get(**self._options)
            return int(answer[0][0].value)


class _FirestoreTransaction:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._writes = calls.writes()
        self._versions: dict[str, Any] = {}  # versions of the documents read; None: it did not exist
        self.creates = False

    def get(self, path: str) -> Data | None:
        return self.snapshot(path).data

    def snapshot(self, path: str) -> Snapshot:
        [found] = self._read([path], ())
        return Snapshot(found.data, found.read_at)

    def get_all(self, paths: Sequence[str], fields: Sequence[str] = ()) -> dict[str, Data]:
        return _existing(self._read(paths, fields))

    def _read(self, paths: Sequence[str], fields: Sequence[str]) -> list[Found]:
        found = self._calls.read(paths, fields)
        self._versions |= {one.path: one.version for one in found}
        return found

    def create(self, path: str, data: Data) -> None:
        self._writes.set(path, data).current_document.exists = False
        self.creates = True

    def set(self, path: str, data: Data) -> None:
        self._guard(path, self._writes.set(path, data))

    def update(self, path: str, data: Data) -> None:
        self._guard(path, self._writes.update(path, data))

    def delete(self, path: str) -> None:
        self._guard(path, self._writes.delete(path))

    def _guard(self, path: str, write: Any) -> None:
        """Make the write conditional on the version of the document that was read, if it was read."""
        if path not in self._versions:
            return
        if (version := self._versions[path]) is None:
            write.current_document.exists = False
        else:
            write.current_document.update_time.CopyFrom(version)

    def commit(self) -> None:
        if self._writes:
            self._calls.commit(self._writes)


def _filtered(collection: firestore.CollectionReference, where: Sequence[Where]) -> firestore.Query:
    query = firestore.Query(collection)
    for condition in where:
        query = query.where(filter=firestore.FieldFilter(*condition))
    return query


def _existing(found: Iterable[Found]) -> dict[str, Data]:
    return {one.path: one.data for one in found if one.data is not None}
