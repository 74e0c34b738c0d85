"""A store in front of a store, which counts what Firestore would bill."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from shared.documents import Data, DocumentExists, Documents, Snapshot, Transaction, Where

T = TypeVar("T")
Item = TypeVar("Item")


class Counted:
    """Counts reads, writes and deletes, of which a query or a miss costs at least one read, and transactions."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self.reads = self.writes = self.deletes = self.transactions = 0

    def get(self, path: str) -> Data | None:
        self.reads += 1
        return self._documents.get(path)

    def snapshot(self, path: str) -> Snapshot:
        self.reads += 1
        return self._documents.snapshot(path)

    def get_all(self, paths: Sequence[str], fields: Sequence[str] = ()) -> dict[str, Data]:
        self.reads += len(paths)
        return self._documents.get_all(paths, fields)

    def transact(self, work: Callable[[Transaction], T]) -> T:
        self.transactions += 1
        refused: list[_CountedTransaction] = []

        def counted(transaction: Transaction) -> T:
            refused.append(_CountedTransaction(transaction, self))
            return work(refused[-1])

        try:
            return self._documents.transact(counted)
        except DocumentExists:
            # The price of a refused commit is not documented. Assume that Firestore reads each document.
            self.writes -= refused[-1].created
            self.reads += refused[-1].created
            raise

    def each(self, work: Callable[[Item], T], items: Iterable[Item]) -> list[T]:
        return self._documents.each(work, items)

    def query(self, collection: str, where: Sequence[Where] = (), **options: Any) -> Iterator[tuple[str, Data]]:
        found = list(self._documents.query(collection, where, **options))
        self.reads += max(1, len(found))
        return iter(found)

    def count(self, collection: str, where: Sequence[Where] = ()) -> int:
        found = self._documents.count(collection, where)
        self.reads += max(1, math.ceil(found / 1000))  # a thousand index entries for the price of one read
        return found


class _CountedTransaction:
    def __init__(self, transaction: Transaction, bill: Counted) -> None:
        self._transaction, self._bill = transaction, bill
        self.created = 0

    def get(self, path: str) -> Data | None:
        self._bill.reads += 1
        return self._transaction.get(path)

    def snapshot(self, path: str) -> Snapshot:
        self._bill.reads += 1
        return self._transaction.snapshot(path)

    def get_all(self, paths: Sequence[str], fields: Sequence[str] = ()) -> dict[str, Data]:
        self._bill.reads += len(paths)
        return self._transaction.get_all(paths, fields)

    def create(self, path: str, data: Data) -> None:
        self._bill.writes += 1
        self.created += 1
        self._transaction.create(path, data)

    def set(self, path: str, data: Data) -> None:
        self._bill.writes += 1
        self._transaction.set(path, data)

    def update(self, path: str, data: Data) -> None:
        self._bill.writes += 1
        self._transaction.update(path, data)

    def delete(self, path: str) -> None:
        self._bill.deletes += 1
        self._transaction.delete(path)
