"""The embedded store: `shared.documents.Documents` on one SQLite file, for machines without Google's emulators.

Several processes share the file (write-ahead log, immediate transactions). The same contract tests run on it and on
Firestore. `embedded_sql` writes the queries.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from shared.clock import utc_now
from shared.documents import Data, DocumentExists, Snapshot, Transaction, Where
from shared.errors import StoreUnavailable
from workstation.embedded_json import Encoder
from workstation.embedded_sql import document, extract, select, where_clauses

T = TypeVar("T")
Item = TypeVar("Item")

BUSY_SECONDS = 15.0

_SCHEMA = """
create table if not exists documents (
    collection text not null, id text not null, data text not null, primary key (collection, id)
) without rowid;
create index if not exists due on documents (collection, json_extract(data, '$."due"."$time"'))
    where collection = 'sync_pending';
"""


class EmbeddedDocuments:
    def __init__(self, file: Path, now: Callable[[], datetime] = utc_now) -> None:
        """now: the store's time. Processes that share the file share the machine's clock."""
        self._file = file
        self._now = now
        self._threads = threading.local()
        with self._connection() as connection:
            # Applies to a new file only. At SQLite's default of 4 KiB, most records would span several pages.
            connection.execute("pragma page_size=16384")
            connection.execute("pragma journal_mode=wal")
            connection.executescript(_SCHEMA)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Yield this thread's connection. Translate SQLite's errors to StoreUnavailable."""
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
                transaction = _EmbeddedTransaction(connection, self._now)
                result = work(transaction)
                transaction.write()
            except BaseException:
                connection.execute("rollback")
                raise
            connection.execute("commit")
            return result

    def each(self, work: Callable[[Item], T], items: Iterable[Item]) -> list[T]:
        return [work(item) for item in items]

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
        conditions, values = where_clauses(collection, where)
        if after_id is not None:
            conditions.append("id > ?")
            values.append(after_id)
        # As in Firestore, ordering by a field leaves out the documents without it.
        conditions += [f"{extract(name)} is not null" for name in order_by]
        order = ", ".join([*map(extract, order_by), "id"])
        sql = f"{select(fields)} where {' and '.join(conditions)} order by {order} limit ?"
        with self._connection() as connection:
            for key, *found in connection.execute(sql, [*values, -1 if limit is None else limit]):
                yield key, document(found, fields)

    def count(self, collection: str, where: Sequence[Where] = ()) -> int:
        conditions, values = where_clauses(collection, where)
        sql = f"select count(*) from documents where {' and '.join(conditions)}"  # noqa: S608 (built from own names)
        with self._connection() as connection:
            return int(connection.execute(sql, values).fetchone()[0])


class _EmbeddedTransaction:
    """Collects the writes until the work is done. `write` then executes one statement for each type of write."""

    def __init__(self, connection: sqlite3.Connection, now: Callable[[], datetime]) -> None:
        self._connection = connection
        self._now = now
        self._created: dict[str, Data] = {}
        self._changed: dict[str, Data | None] = {}  # None: deleted

    def get(self, path: str) -> Data | None:
        return _read(self._connection, [path], ()).get(path)

    def snapshot(self, path: str) -> Snapshot:
        return Snapshot(self.get(path), self._now())

    def get_all(self, paths: Sequence[str], fields: Sequence[str] = ()) -> dict[str, Data]:
        return _read(self._connection, paths, fields)

    def create(self, path: str, data: Data) -> None:
        self._created[path] = data

    def set(self, path: str, data: Data) -> None:
        self._changed[path] = data

    def update(self, path: str, data: Data) -> None:
        stored = self._changed[path] if path in self._changed else self.get(path)
        if stored is None:
            raise StoreUnavailable("embedded store: update of a document that does not exist")
        self._changed[path] = {**stored, **data}

    def delete(self, path: str) -> None:
        self._changed[path] = None

    def write(self) -> None:
        """Execute the writes. Raises DocumentExists."""
        encoder = Encoder()

        def rows(documents: Iterable[tuple[str, Data]]) -> Iterator[tuple[str, str, str]]:
            for path, data in documents:
                collection, key = _split(path)
                yield collection, key, encoder.text_of(data)

        try:
            self._connection.executemany("insert into documents values (?, ?, ?)", rows(self._created.items()))
        except sqlite3.IntegrityError:
            raise DocumentExists from None
        kept = [(path, data) for path, data in self._changed.items() if data is not None]
        gone = [_split(path) for path, data in self._changed.items() if data is None]
        self._connection.executemany(
            "insert into documents values (?, ?, ?) on conflict do update set data = excluded.data", rows(kept)
        )
        self._connection.executemany("delete from documents where collection = ? and id = ?", gone)


def _split(path: str) -> tuple[str, str]:
    """The collection, which may be one of a document (`patients/123/history`), and the id."""
    collection, _, key = path.rpartition("/")
    return collection, key


def _read(connection: sqlite3.Connection, paths: Sequence[str], fields: Sequence[str]) -> dict[str, Data]:
    keys: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        collection, key = _split(path)
        keys[collection].append(key)
    sql = f"{select(fields)} where collection = ? and id in (select value from json_each(?))"  # noqa: S608
    return {
        f"{collection}/{key}": document(found, fields)
        for collection, names in keys.items()
        for key, *found in connection.execute(sql, (collection, json.dumps(names)))
    }
