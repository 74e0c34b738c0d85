"""The embedded queue: a replacement for Pub/Sub on one SQLite file.

A message is published when its row is committed to disk. `embedded_push` delivers it. A refused message is due again
after a growing pause, and becomes a dead letter after MOST_ATTEMPTS.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from shared.errors import PublishFailed

# The values of the subscription in the cloud (terraform/pubsub.tf).
FIRST_PAUSE_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 600.0
MOST_ATTEMPTS = 20
ACKNOWLEDGE_SECONDS = 180.0

BUSY_SECONDS = 10.0

_SCHEMA = """
create table if not exists messages (
    id integer primary key autoincrement, data blob not null, attributes text not null,
    published_at real not null, due real not null, attempts integer not null default 0
);
create index if not exists messages_by_due on messages (due);
create table if not exists dead (
    id integer primary key, data blob not null, attributes text not null,
    published_at real not null, died_at real not null
);
"""


@dataclass(frozen=True)
class Message:
    """published_at: seconds since 1970. attempt: counts from 1."""

    id: int
    data: bytes
    attributes: Mapping[str, str]
    published_at: float
    attempt: int


class EmbeddedQueue:
    def __init__(self, file: Path, now: Callable[[], float] = time.time) -> None:
        self._file = file
        self._now = now
        self._threads = threading.local()
        with self._connection() as connection:
            connection.execute("pragma journal_mode=wal")
            connection.executescript(_SCHEMA)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Yield this thread's connection."""
        connection = getattr(self._threads, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._file, timeout=BUSY_SECONDS, isolation_level=None)
            connection.execute("pragma synchronous=full")  # a commit survives a power failure
            self._threads.connection = connection
        yield connection

    def publish(self, data: bytes, attributes: Mapping[str, str]) -> None:
        """Return when the message is on disk. Raises PublishFailed."""
        now = self._now()
        row = (data, json.dumps(dict(attributes)), now, now)
        try:
            with self._connection() as connection:
                connection.execute(
                    "insert into messages (data, attributes, published_at, due) values (?, ?, ?, ?)", row
                )
        except sqlite3.Error as error:
            raise PublishFailed(f"embedded queue: {type(error).__name__}") from None

    def take(self, most: int) -> list[Message]:
        """Take up to `most` due messages. Each is due again after ACKNOWLEDGE_SECONDS."""
        now = self._now()
        with self._connection() as connection:
            rows = connection.execute(
                "update messages set due = ?, attempts = attempts + 1 where id in"
                " (select id from messages where due <= ? order by due, id limit ?)"
                " returning id, data, attributes, published_at, attempts",
                (now + ACKNOWLEDGE_SECONDS, now, most),
            ).fetchall()
        return [
            Message(key, data, json.loads(attributes), published_at, attempt)
            for key, data, attributes, published_at, attempt in sorted(rows)
        ]

    def acknowledge(self, message: Message) -> None:
        with self._connection() as connection:
            connection.execute("delete from messages where id = ?", (message.id,))

    def refuse(self, message: Message) -> None:
        """Make the message due again after a pause, or a dead letter after too many attempts."""
        if message.attempt >= MOST_ATTEMPTS:
            self._move_to_dead_letters(message)
            return
        with self._connection() as connection:
            connection.execute(
                "update messages set due = ? where id = ?", (self._now() + pause(message.attempt), message.id)
            )

    def _move_to_dead_letters(self, message: Message) -> None:
        with self._connection() as connection:
            connection.execute("begin immediate")
            connection.execute(
                "insert into dead select id, data, attributes, published_at, ? from messages where id = ?",
                (self._now(), message.id),
            )
            connection.execute("delete from messages where id = ?", (message.id,))
            connection.execute("commit")

    def waiting(self) -> int:
        return self._count("messages")

    def dead(self) -> int:
        return self._count("dead")

    def _count(self, table: str) -> int:
        with self._connection() as connection:
            return int(connection.execute(f"select count(*) from {table}").fetchone()[0])  # noqa: S608 (own names)


def pause(attempt: int) -> float:
    """Return the seconds between attempt number `attempt` (from 1) and the next."""
    growing: float = min(FIRST_PAUSE_SECONDS * 2 ** min(attempt - 1, 16), LONGEST_PAUSE_SECONDS)
    return growing
