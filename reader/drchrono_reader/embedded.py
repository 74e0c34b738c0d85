"""The SQLite file of `make run` without Google's emulators, as a `Store`. Read-only."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from drchrono_reader.store import Condition, Document, Position

BUSY_SECONDS = 15.0


class EmbeddedFile:
    """`documents.sqlite3` in the folder that `make run` prints. Raises FileNotFoundError if it does not exist."""

    def __init__(self, file: Path) -> None:
        if not file.is_file():
            raise FileNotFoundError(f"{file} does not exist: is `make run` up, and in the embedded form?")
        self._address = f"{file.resolve().as_uri()}?mode=ro"

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._address, uri=True, timeout=BUSY_SECONDS)
        try:
            yield connection
        finally:
            connection.close()

    def get(self, collection: str, name: str) -> Document | None:
        sql = "select data from documents where collection = ? and id = ?"
        with self._connection() as connection:
            row = connection.execute(sql, (collection, name)).fetchone()
        return None if row is None else _loads(row[0])

    def select(
        self,
        collection: str,
        conditions: Sequence[Condition],
        *,
        order_by: str | None,
        after: Position | None,
        limit: int,
    ) -> list[tuple[str, Document]]:
        where, values = _where(collection, conditions)
        order = "id"
        if order_by is not None:
            # Instants are stored as text under `$time`.
            field = f"coalesce({_extract(order_by + '.$time')}, {_extract(order_by)})"
            where.append(f"{field} is not null")
            order = f"{field}, id"
        if after is not None:
            where.append(f"({order}) > ({', '.join('?' for _ in order.split(', id'))})" if order_by else "id > ?")
            values += [after.name] if order_by is None else [_plain(after.value), after.name]
        sql = f"select id, data from documents where {' and '.join(where)} order by {order} limit ?"  # noqa: S608
        with self._connection() as connection:
            return [(name, _loads(text)) for name, text in connection.execute(sql, [*values, limit])]

    def count(self, collection: str, conditions: Sequence[Condition]) -> int:
        where, values = _where(collection, conditions)
        sql = f"select count(*) from documents where {' and '.join(where)}"  # noqa: S608 (values are parameters)
        with self._connection() as connection:
            return int(connection.execute(sql, values).fetchone()[0])


def _where(collection: str, conditions: Sequence[Condition]) -> tuple[list[str], list[Any]]:
    where, values = ["collection = ?"], [collection]
    for field, operator, value in conditions:
        wanted = value if operator == "in" else [value]
        alternatives = []
        for one in wanted:
            path = _path(f"{field}.$time" if isinstance(one, datetime) else field)
            sign = "=" if operator in ("in", "==") else operator
            alternatives.append(f"(json_type(data, {path}) in ({_types(one)}) and json_extract(data, {path}) {sign} ?)")
            values.append(_plain(one))
        where.append(f"({' or '.join(alternatives)})")
    return where, values


def _types(value: Any) -> str:
    """As in Firestore, values of another type never match."""
    if isinstance(value, bool):
        return "'true', 'false'"
    return "'text'" if isinstance(value, str | datetime) else "'integer', 'real'"


def _extract(field: str) -> str:
    return f"json_extract(data, {_path(field)})"


def _path(field: str) -> str:
    return "'$" + "".join('."' + part.replace('"', "").replace("'", "") + '"' for part in field.split(".")) + "'"


def _plain(value: Any) -> Any:
    """Return instants in their fixed width: their texts sort as times do."""
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return value


def _loads(text: str) -> Document:
    document: Document = json.loads(text, object_hook=_untagged)
    return document


def _untagged(value: dict[str, Any]) -> Any:
    """Instants are {"$time": text}; a key of a record that begins with $ has a second one."""
    if "$time" in value:
        return datetime.fromisoformat(value["$time"]).replace(tzinfo=timezone.utc)
    return {key[1:] if key.startswith("$$") else key: item for key, item in value.items()}
