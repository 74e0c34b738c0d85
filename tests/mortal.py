"""A store in front of a store, for processes that die: from one operation on, nothing that it is asked happens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from shared.documents import Data, Documents, Snapshot, Transaction, Where

T = TypeVar("T")
Item = TypeVar("Item")


class Killed(BaseException):
    """SIGKILL: no handler of ours sees it, and what they would do afterwards does not happen either."""


class MortalDocuments:
    """Dies at the operation number `last` (from 1): before it, or, for a transaction, also `after` it was done."""

    def __init__(self, documents: Documents, last: int, *, after: bool = False) -> None:
        self._documents = documents
        self._left = last
        self._after = after

    def _live(self) -> None:
        self._left -= 1
        if self._left < 0 or (self._left == 0 and not self._after):
            self._left = 0
            raise Killed

    @property
    def dead(self) -> bool:
        return self._left <= 0

    def get(self, path: str) -> Data | None:
        self._live()
        return self._documents.get(path)

    def snapshot(self, path: str) -> Snapshot:
        self._live()
        return self._documents.snapshot(path)

    def get_all(self, paths: Sequence[str], fields: Sequence[str] = ()) -> dict[str, Data]:
        self._live()
        return self._documents.get_all(paths, fields)

    def transact(self, work: Callable[[Transaction], T]) -> T:
        self._live()
        result = self._documents.transact(work)
        if self._left == 0:
            raise Killed
        return result

    def each(self, work: Callable[[Item], T], items: Iterable[Item]) -> list[T]:
        return [work(item) for item in items]

    def query(self, collection: str, where: Sequence[Where] = (), **options: Any) -> Iterator[tuple[str, Data]]:
        self._live()
        return self._documents.query(collection, where, **options)

    def count(self, collection: str, where: Sequence[Where] = ()) -> int:
        self._live()
        return self._documents.count(collection, where)
