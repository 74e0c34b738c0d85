"""Queries over the records of one kind."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from drchrono_reader.ids import document_id
from drchrono_reader.record import META, Record, record_of
from drchrono_reader.store import Condition, Document, Operator, Position, Store

PAGE_RECORDS = 300
MOST_ALTERNATIVES = 30  # for `in`: firebase.google.com/docs/firestore/query-data/queries#in_and_not-in


@dataclass(frozen=True)
class Page:
    """next: pass it to `page(after=…)` of the same query, in any process; None on the last page."""

    records: list[Record]
    next: str | None


@dataclass(frozen=True)
class Query:
    """Records of one kind that meet all conditions. Iterate over it, or read it page by page.

    Tombstones are left out unless `with_deleted` was called. The order is by document name, or by the field that is
    compared with `<`, `<=`, `>` or `>=`. A field that Firestore cannot hold (see `_sync.json` in the project's README)
    matches no condition.
    """

    store: Store
    kind: str
    conditions: tuple[Condition, ...] = ()
    deleted: bool = False

    def where(self, field: str, operator: Operator, value: Any) -> Query:
        """Return the query with one more condition. Raises ValueError if Firestore cannot answer it.

        field: a field of DrChrono or of the copy (`_sync.fetched_at`); dotted if nested. value: text, a number, a
        boolean or an aware datetime, of the field's own type: "5" does not equal 5. For `in`, a list of them.
        """
        values = value if isinstance(value, list) else [value]
        if operator == "in" and not (isinstance(value, list) and 0 < len(value) <= MOST_ALTERNATIVES):
            raise ValueError(f"`in` takes a list of 1 to {MOST_ALTERNATIVES} values")
        if not all(isinstance(one, str | int | float | datetime) for one in values):
            raise ValueError("a field is compared with text, a number, a boolean or a datetime")
        if any(isinstance(one, datetime) and one.tzinfo is None for one in values):
            raise ValueError("a datetime needs a time zone")
        changed = replace(self, conditions=(*self.conditions, Condition(field, operator, value)))
        if len(changed._ranges()) > 1:
            raise ValueError("only one field can be compared with <, <=, > or >=")
        return changed

    def with_deleted(self) -> Query:
        """Return the query with tombstones included."""
        return replace(self, deleted=True)

    def __iter__(self) -> Iterator[Record]:
        after: str | None = None
        while True:
            page = self.page(after=after)
            yield from page.records
            if page.next is None:
                return
            after = page.next

    def page(self, *, size: int = PAGE_RECORDS, after: str | None = None) -> Page:
        """Return up to `size` records; fewer only on the last page. Raises ValueError.

        after: `next` of the previous page. A record that changes between two pages is in the later one, or in neither.
        """
        if size < 1:
            raise ValueError("a page has at least one record")
        order_by = next(iter(self._ranges()), None)
        position = _decoded(after) if after is not None else None
        records: list[Record] = []
        while True:
            # Tombstones are skipped here and not in the query, so the query needs no additional index. They are few.
            found = self.store.select(self.kind, self.conditions, order_by=order_by, after=position, limit=size + 1)
            for name, document in found:
                record = record_of(self.kind, name, document)
                if record is not None and (self.deleted or not record.deleted):
                    if len(records) == size:
                        return Page(records, _encoded(position))
                    records.append(record)
                position = Position(name, _value(document, order_by))
            if len(found) <= size:
                return Page(records, None)

    def first(self) -> Record | None:
        """Return the first record, or None."""
        return next(iter(self.page(size=1).records), None)

    def count(self) -> int:
        """Return the number of records. A range needs an index of its field and `_sync.deleted`."""
        living = () if self.deleted else (Condition(f"{META}.deleted", "==", False),)
        return self.store.count(self.kind, [*self.conditions, *living])

    def _ranges(self) -> set[str]:
        return {condition.field for condition in self.conditions if condition.operator not in ("==", "in")}


class Records(Query):
    """All records of one kind."""

    def get(self, id: str | int, *, deleted: bool = False) -> Record | None:  # noqa: A002 (DrChrono's word)
        """Return the record; None if the copy has none. deleted: also return a tombstone. Raises ValueError."""
        name = document_id(id)
        record = record_of(self.kind, name, self.store.get(self.kind, name))
        return record if record is not None and (deleted or not record.deleted) else None


def _value(document: Document, field: str | None) -> Any:
    value: Any = document
    for part in field.split(".") if field else ():
        value = value.get(part) if isinstance(value, dict) else None
    return value if field else None


def _encoded(position: Position | None) -> str | None:
    if position is None:
        return None
    value = {"time": position.value.isoformat()} if isinstance(position.value, datetime) else position.value
    return base64.urlsafe_b64encode(json.dumps([position.name, value]).encode()).decode()


def _decoded(token: str) -> Position:
    try:
        name, value = json.loads(base64.urlsafe_b64decode(token))
        return Position(name, datetime.fromisoformat(value["time"]) if isinstance(value, dict) else value)
    except (ValueError, TypeError, KeyError):
        raise ValueError("`after` is no `next` of a page") from None
