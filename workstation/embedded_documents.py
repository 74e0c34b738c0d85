"""The embedded store: `shared.documents.Documents` on one SQLite file, for machines without Google's emulators.

Several processes share the file (write-ahead log, immediate transactions). One contract suite runs on it and on
Firestore, so what holds here holds there.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

from shared.documents import Data, Snapshot, Transaction, Where
from shared.errors import StoreUnavailable

T = TypeVar("T")

BUSY_SECONDS = 15.0

_SCHEMA = """
create table if not exists documents (
    collection text not null, id text not null, data text not null, primary key (collection, id)
) without rowid;
create index if not exists due on documents (collection, json_extract(data, '$."due"."$time"'))
    where collection = 'sync_pending';
"""


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


class EmbeddedDocuments:
    def __init__(self, file: Path, now: Callable[[], datetime] = utc_now) -> None:
        """`now` is the store's time; processes that share the file share the machine's clock."""
        self._file = file
        self._now = now
        self._threads = threading.local()
        with self._connection() as connection:
            connection.execute("pragma journal_mode=wal")
            connection.executescript(_SCHEMA)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """This thread's own connection; SQLite's errors as ours."""
        try:
            connection = getattr(self._threads, "connection", None)
            if connection is None:
                connection = sqlite3.connect(self._file, timeout=BUSY_SECONDS, isolation_level=None)
                connection.execute("pragma synchronous=normal")
                self._threads.connection = connection
            yield connection
        except sqlite3.Error as error:
            raise StoreUnavailable(f"embedded store: {type(error).__name__}") from None

    def get(self, path: str) -> Data | None:
        return self.get_all([path]).get(path)

    def snapshot(self, path: str) -> Snapshot:
        return Snapshot(self.get(path), self._now())

    def get_all(self, paths: Sequence[str], fields: Sequence[str] = ()) -> dict[str, Data]:
        with self._connection() as connection:
            return _read(connection, paths, fields)

    def transact(self, work: Callable[[Transaction], T]) -> T:
        with self._connection() as connection:
            connection.execute("begin immediate")
            try:
                result = work(_EmbeddedTransaction(connection, self._now))
            except BaseException:
                connection.execute("rollback")
                raise
            connection.execute("commit")
            return result

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
        conditions, values = _conditions(collection, where)
        if after_id is not None:
            conditions.append("id > ?")
            values.append(after_id)
        # As in Firestore, a document without the field is not in an order by that field.
        conditions += [f"{_extract(name)} is not null" for name in order_by]
        order = ", ".join([*map(_extract, order_by), "id"])
        sql = f"select id, data from documents where {' and '.join(conditions)} order by {order} limit ?"  # noqa: S608
        with self._connection() as connection:
            for key, text in connection.execute(sql, [*values, -1 if limit is None else limit]):
                yield key, _chosen(_loads(text), fields)

    def count(self, collection: str, where: Sequence[Where] = ()) -> int:
        conditions, values = _conditions(collection, where)
        sql = f"select count(*) from documents where {' and '.join(conditions)}"  # noqa: S608 (built from own names)
        with self._connection() as connection:
            return int(connection.execute(sql, values).fetchone()[0])


class _EmbeddedTransaction:
    def __init__(self, connection: sqlite3.Connection, now: Callable[[], datetime]) -> None:
        self._connection = connection
        self._now = now

    def get(self, path: str) -> Data | None:
        return _read(self._connection, [path], ()).get(path)

    def snapshot(self, path: str) -> Snapshot:
        return Snapshot(self.get(path), self._now())

    def get_all(self, paths: Sequence[str], fields: Sequence[str] = ()) -> dict[str, Data]:
        return _read(self._connection, paths, fields)

    def set(self, path: str, data: Data) -> None:
        collection, key = path.split("/")
        self._connection.execute(
            "insert into documents values (?, ?, ?) on conflict do update set data = excluded.data",
            (collection, key, _dumps(data)),
        )

    def update(self, path: str, data: Data) -> None:
        stored = self.get(path)
        if stored is None:
            raise StoreUnavailable("embedded store: update of a document that is not there")
        self.set(path, {**stored, **data})

    def delete(self, path: str) -> None:
        collection, key = path.split("/")
        self._connection.execute("delete from documents where collection = ? and id = ?", (collection, key))


def _read(connection: sqlite3.Connection, paths: Sequence[str], fields: Sequence[str]) -> dict[str, Data]:
    found = {}
    for path in paths:
        collection, key = path.split("/")
        row = connection.execute(
            "select data from documents where collection = ? and id = ?", (collection, key)
        ).fetchone()
        if row is not None:
            found[path] = _chosen(_loads(row[0]), fields)
    return found


def _chosen(data: Data, fields: Sequence[str]) -> Data:
    return {name: data[name] for name in fields if name in data} if fields else data


def _conditions(collection: str, where: Sequence[Where]) -> tuple[list[str], list[Any]]:
    conditions, values = ["collection = ?"], [collection]
    for field, op, value in where:
        path = _extract(field)
        if isinstance(value, datetime):
            path, value = _extract(f"{field}.$time"), _instant(value)
        # As in Firestore, values of another type never match.
        kind = "'text'" if isinstance(value, str) else "'integer', 'real'"
        conditions.append(f"typeof({path}) in ({kind}) and {path} {op.replace('==', '=')} ?")
        values.append(value)
    return conditions, values


def _extract(field: str) -> str:
    path = "".join(f'."{part}"' for part in field.split("."))
    return f"json_extract(data, '${path}')"


def _instant(value: datetime) -> str:
    """Fixed width, so that text compares as time does."""
    return value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")


def _dumps(data: Data) -> str:
    return json.dumps(_tagged(data), separators=(",", ":"))


def _tagged(value: Any) -> Any:
    """JSON has no instants: they become {"$time": text}. A record's own key that begins with $ gets a second one."""
    if isinstance(value, datetime):
        return {"$time": _instant(value)}
    if isinstance(value, dict):
        return {"$" + key if key.startswith("$") else key: _tagged(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_tagged(item) for item in value]
    return value


def _loads(text: str) -> Data:
    # The tag is looked for only where it can be: most documents hold few instants.
    return json.loads(text, object_hook=_untagged)  # type: ignore[no-any-return]


def _untagged(value: dict[str, Any]) -> Any:
    if "$time" in value:
        return datetime.fromisoformat(value["$time"]).replace(tzinfo=timezone.utc)
    if any(key.startswith("$$") for key in value):
        return {key[1:] if key.startswith("$$") else key: item for key, item in value.items()}
    return value
