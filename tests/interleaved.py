"""A store whose every operation takes time, in which others run: it stands between the system and the real one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from shared.documents import Data, Documents, Item, Snapshot, Transaction, Where
from tests.mortal import MortalDocuments

T = TypeVar("T")


class Interleaved:
    """operation: called before each operation, with what it is. committed: called after each commit. Both may raise;
    after a commit, that loses the answer.
    """

    def __init__(
        self,
        documents: Documents | MortalDocuments,
        operation: Callable[[str], None],
        committed: Callable[[], None] = lambda: None,
    ) -> None:
        self._documents = documents
        self._operation = operation
        self._committed = committed

    def get(self, path: str) -> Data | None:
        self._operation(f"get {path}")
        return self._documents.get(path)

    def snapshot(self, path: str) -> Snapshot:
        self._operation(f"snapshot {path}")
        return self._documents.snapshot(path)

    def get_all(self, paths: Sequence[str], fields: Sequence[str] = ()) -> dict[str, Data]:
        self._operation(f"get {paths}")
        return self._documents.get_all(paths, fields)

    def transact(self, work: Callable[[Transaction], T]) -> T:
        self._operation(f"transact {getattr(work, '__qualname__', '')}")
        result = self._documents.transact(work)
        self._committed()
        return result

    def each(self, work: Callable[[Item], T], items: Iterable[Item]) -> list[T]:
        return [work(item) for item in items]

    def query(self, collection: str, where: Sequence[Where] = (), **options: Any) -> Iterator[tuple[str, Data]]:
        self._operation("")
        return iter(list(self._documents.query(collection, where, **options)))

    def count(self, collection: str, where: Sequence[Where] = ()) -> int:
        self._operation("")
        return self._documents.count(collection, where)
