"""Firestore as `shared.documents.Documents`."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypedDict, TypeVar, cast

from google.api_core.exceptions import (
    Aborted,
    AlreadyExists,
    DeadlineExceeded,
    FailedPrecondition,
    GoogleAPICallError,
    InternalServerError,
    InvalidArgument,
    NotFound,
    RetryError,
    ServiceUnavailable,
)
from google.api_core.retry import Retry, if_exception_type
from google.auth.exceptions import GoogleAuthError
from google.cloud import firestore
from google.cloud.firestore_v1 import _helpers
from google.cloud.firestore_v1.types import Precondition, Write

from shared.documents import Data, Snapshot, Transaction, Where
from shared.errors import RecordTooLarge, StoreUnavailable
from shared.settings import CloudSettings

T = TypeVar("T")

# Of N instances that write one document at once, one wins each round: enough for some dozens, within seconds.
MOST_LOSSES = 20
FIRST_PAUSE_SECONDS = 0.02

# One attempt of a call, and all attempts together. The library's own patience is a minute and more, and whoever calls
# has something better to do then: DrChrono and Pub/Sub deliver again.
ATTEMPT_SECONDS = 5.0
PATIENCE_SECONDS = 10.0
_PASSING = if_exception_type(ServiceUnavailable, InternalServerError, DeadlineExceeded)


def connect(settings: CloudSettings) -> FirestoreDocuments:
    """The client itself turns to FIRESTORE_EMULATOR_HOST where that is set. Raises StoreUnavailable."""
    with _translated():
        return FirestoreDocuments(firestore.Client(project=settings.project, database=settings.database))


@contextmanager
def _translated() -> Iterator[None]:
    """Google's errors as ours; their texts may hold a document's content, so nothing of them is kept."""
    try:
        yield
    except InvalidArgument as error:
        # The only argument of ours that Firestore can find wrong is a document over its limits.
        raise RecordTooLarge(f"Firestore refused a document ({type(error).__name__})") from None
    except (GoogleAPICallError, GoogleAuthError, RetryError) as error:
        raise StoreUnavailable(f"Firestore: {type(error).__name__}") from None


class Patience(TypedDict):
    """How long a call may take: an argument of every call of the library."""

    retry: Retry
    timeout: float


class FirestoreDocuments:
    def __init__(self, client: firestore.Client, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._client = client
        retry = Retry(predicate=_PASSING, initial=0.1, maximum=1.0, multiplier=2.0, timeout=patience_seconds)
        self._patience: Patience = {"retry": retry, "timeout": min(ATTEMPT_SECONDS, patience_seconds)}

    def get(self, path: str) -> Data | None:
        with _translated():
            return self._client.document(path).get(**self._patience).to_dict()

    def snapshot(self, path: str) -> Snapshot:
        with _translated():
            found = self._client.document(path).get(**self._patience)
            return Snapshot(found.to_dict(), found.read_time)

    def get_all(self, paths: Sequence[str], fields: Sequence[str] = ()) -> dict[str, Data]:
        with _translated():
            found = _snapshots(self._client, paths, fields, self._patience)
            return {snapshot.reference.path: cast("Data", snapshot.to_dict()) for snapshot in found if snapshot.exists}

    def transact(self, work: Callable[[Transaction], T]) -> T:
        """Optimistic: what `work` read carries its version into the commit, and a commit that met another is run again.

        Firestore's own transactions lock what they read. A document that every instance writes (the quota) then makes
        them queue, or time out; here the loser of a race pays one read.
        """
        with _translated():
            for loss in range(MOST_LOSSES):
                transaction = _FirestoreTransaction(self._client, self._patience)
                result = work(transaction)
                try:
                    transaction.commit()
                except (Aborted, AlreadyExists, FailedPrecondition, NotFound):
                    time.sleep(random.uniform(0.002, FIRST_PAUSE_SECONDS * 2 ** min(loss, 5)))  # noqa: S311 (jitter)
                else:
                    return result
        raise StoreUnavailable("Firestore: too much contention on a document")

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
        with _translated():
            # The library begins a stream that broke again after the last document, with the whole limit.
            for snapshot in islice(query.stream(**self._patience), limit):
                yield snapshot.id, cast("Data", snapshot.to_dict())

    def count(self, collection: str, where: Sequence[Where] = ()) -> int:
        with _translated():
            counted: Any = _filtered(self._client.collection(collection), where).count()
            answer = counted.get(**self._patience)
            return int(answer[0][0].value)


class _FirestoreTransaction:
    def __init__(self, client: firestore.Client, patience: Patience) -> None:
        self._client = client
        self._patience = patience
        self._writes: list[Write] = []
        self._preconditions: dict[str, Precondition] = {}

    def get(self, path: str) -> Data | None:
        return self.snapshot(path).data

    def snapshot(self, path: str) -> Snapshot:
        found = next(iter(self._read([path], ())))
        return Snapshot(found.to_dict(), found.read_time)

    def get_all(self, paths: Sequence[str], fields: Sequence[str] = ()) -> dict[str, Data]:
        found = self._read(paths, fields)
        return {snapshot.reference.path: cast("Data", snapshot.to_dict()) for snapshot in found if snapshot.exists}

    def _read(
        self, paths: Sequence[str], fields: Sequence[str]
    ) -> list[firestore.DocumentSnapshot[firestore.DocumentReference]]:
        found = list(_snapshots(self._client, paths, fields, self._patience))
        for snapshot in found:
            self._preconditions[snapshot.reference.path] = (
                Precondition(update_time=snapshot.update_time) if snapshot.exists else Precondition(exists=False)
            )
        return found

    def set(self, path: str, data: Data) -> None:
        self._add(path, _helpers.pbs_for_set_no_merge(self._client.document(path)._document_path, data))

    def update(self, path: str, data: Data) -> None:
        self._add(path, _helpers.pbs_for_update(self._client.document(path)._document_path, data, None))

    def delete(self, path: str) -> None:
        self._add(path, [_helpers.pb_for_delete(self._client.document(path)._document_path, None)])

    def _add(self, path: str, writes: list[Write]) -> None:
        # The service takes a precondition on every write; the library's `set` has no argument for it, so the write is
        # made with the library's own encoder. The contract tests watch this over upgrades.
        if path in self._preconditions:
            writes[0].current_document = self._preconditions[path]
        self._writes += writes

    def commit(self) -> None:
        if self._writes:
            batch = self._client.batch()
            batch._add_write_pbs(self._writes)
            batch.commit(**self._patience)


def _filtered(collection: firestore.CollectionReference, where: Sequence[Where]) -> firestore.Query:
    query = firestore.Query(collection)
    for condition in where:
        query = query.where(filter=firestore.FieldFilter(*condition))
    return query


def _snapshots(
    client: firestore.Client, paths: Sequence[str], fields: Sequence[str], patience: Patience
) -> Iterator[firestore.DocumentSnapshot[firestore.DocumentReference]]:
    references = [client.document(path) for path in paths]
    return client.get_all(references, field_paths=list(fields) or None, **patience)
