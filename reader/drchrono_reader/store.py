"""Where documents are read from: Firestore, or the SQLite file of the embedded store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol

Document = dict[str, Any]
Operator = Literal["==", "<", "<=", ">", ">=", "in"]


class Condition(NamedTuple):
    """field: may be dotted (`_sync.fetched_at`). value: for `in`, a list of at most 30 values."""

    field: str
    operator: Operator
    value: Any


class Position(NamedTuple):
    """The last document of a page. value: its value in the order's field; None if the order is by name."""

    name: str
    value: Any = None


class Store(Protocol):
    def get(self, collection: str, name: str) -> Document | None: ...

    def select(
        self,
        collection: str,
        conditions: Sequence[Condition],
        *,
        order_by: str | None,
        after: Position | None,
        limit: int,
    ) -> list[tuple[str, Document]]:
        """Return up to `limit` pairs of name and document, by `order_by` and then by name."""

    def count(self, collection: str, conditions: Sequence[Condition]) -> int: ...
