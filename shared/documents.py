"""The interface of the document store: Firestore in the cloud, SQLite on one machine.

A path is `collection/id`. A document is a dict of JSON values and aware UTC datetimes (Firestore timestamps).
Every method may raise `StoreUnavailable`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol, TypeVar

Data = dict[str, Any]
T = TypeVar("T")
Item = TypeVar("Item")


class DocumentExists(Exception):
    """A document to be created already exists. Nothing of the transaction was written."""


class Serialized(dict[str, Any]):
    """A document to write, most of which also exists as text, so that a text store need not serialize it again.

    text: `fields` as JSON, without spaces. rest: the document's other fields.
    """

    def __init__(self, fields: Mapping[str, Any], text: str, rest: Data) -> None:
        super().__init__(fields, **rest)
        self.text = text
        self.rest = rest


class Snapshot(NamedTuple):
    """A document (None: it doesn't exist) and `read_at`, the store's own time (UTC) of the read.

    `read_at` lies between the call and its response on one clock for all callers, whatever their own clocks say.
    """

    data: Data | None
    read_at: datetime


class Where(NamedTuple):
    """One condition of a query: `field` may be dotted (`_sync.deleted`), `op` is `==`, `<`, `<=`, `>` or `>=`."""

    field: str
    op: str
    value: Any


class Transaction(Protocol):
    """Reads, followed by writes that take effect together or not at all. All reads come before the first write.

    If another writer changes a document between its read and its write here, the work runs again. A document that is
    only read is not guarded. A document that is only written is overwritten in any case.
    """

    def get(self, path: str) -> Data | None: ...

    def snapshot(self, path: str) -> Snapshot: ...

    def get_all(self, paths: Sequence[str], fields: Sequence[str] = ()) -> dict[str, Data]:
        """Return the documents that exist, by path; if `fields` are given, only these top-level fields."""

    def create(self, path: str, data: Data) -> None:
        """Write a document that does not exist, without reading it. If it does, `transact` raises DocumentExists."""

    def set(self, path: str, data: Data) -> None:
        """Write the whole document."""

    def update(self, path: str, data: Data) -> None:
        """Replace these top-level fields of an existing document and leave the others."""

    def delete(self, path: str) -> None: ...


class Documents(Protocol):
    def get(self, path: str) -> Data | None: ...

    def snapshot(self, path: str) -> Snapshot: ...

    def get_all(self, paths: Sequence[str], fields: Sequence[str] = ()) -> dict[str, Data]: ...

    def transact(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` until its writes are committed. It may run several times, so it must have no other effect.

        Raises DocumentExists.
        """

    def each(self, work: Callable[[Item], T], items: Iterable[Item]) -> list[T]:
        """Return the results of `work` for each of `items`, in order. A remote store works on a few at a time.

        Raises the first error once nothing is under way. `work` must not call `each`.
        """

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
        """Yield pairs of id and document. Without `order_by`, they come by id, and `after_id` continues after an id."""

    def count(self, collection: str, where: Sequence[Where] = ()) -> int: ...
