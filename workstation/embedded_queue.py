"""The embedded queue: what Pub/Sub does for the system, on one SQLite file and one thread.

A message is published once its row is committed to disk. It is pushed to the subscriber as Pub/Sub would push it, again
with growing pauses while the answer is not 2xx, and is kept apart as dead after too many attempts.
"""

from __future__ import annotations

import base64
import http.client
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from shared.errors import PublishFailed

# As the subscription in the cloud (terraform/pubsub.tf).
FIRST_PAUSE_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 600.0
MOST_ATTEMPTS = 20
ACKNOWLEDGE_SECONDS = 180.0

PUSHERS = 8
LOOK_SECONDS = 0.02  # a look costs some microseconds
BUSY_SECONDS = 10.0

SUBSCRIPTION = "projects/local/subscriptions/drchrono-events-store-record"

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
        """This thread's own."""
        connection = getattr(self._threads, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._file, timeout=BUSY_SECONDS, isolation_level=None)
            connection.execute("pragma synchronous=full")  # a commit outlives the machine's power
            self._threads.connection = connection
        yield connection

    def publish(self, data: bytes, attributes: Mapping[str, str]) -> None:
        """Returns when the message is on disk. Raises PublishFailed."""
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
        """Messages that are due. Who takes one has ACKNOWLEDGE_SECONDS before it comes again."""
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
        """It was not taken: again after a pause, or never."""
        if message.attempt >= MOST_ATTEMPTS:
            self._bury(message)
            return
        with self._connection() as connection:
            connection.execute(
                "update messages set due = ? where id = ?", (self._now() + pause(message.attempt), message.id)
            )

    def _bury(self, message: Message) -> None:
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
    """Seconds between the `attempt`-th attempt (from 1) and the next."""
    growing: float = min(FIRST_PAUSE_SECONDS * 2 ** min(attempt - 1, 16), LONGEST_PAUSE_SECONDS)
    return growing


def envelope(message: Message) -> bytes:
    """The body of a push (cloud.google.com/pubsub/docs/push)."""
    published = datetime.fromtimestamp(message.published_at, timezone.utc).isoformat().replace("+00:00", "Z")
    body: dict[str, Any] = {
        "message": {
            "attributes": message.attributes,
            "data": base64.b64encode(message.data).decode(),
            "messageId": str(message.id),
            "message_id": str(message.id),
            "publishTime": published,
            "publish_time": published,
        },
        "subscription": SUBSCRIPTION,
        "deliveryAttempt": message.attempt,
    }
    return json.dumps(body).encode()


class Pusher:
    """`with Pusher(queue, url):` pushes what is due to `url` until the block ends, from threads of its own."""

    def __init__(self, queue: EmbeddedQueue, url: str) -> None:
        self._queue = queue
        self._url = url
        self._free = threading.Semaphore(PUSHERS)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pusher", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        with ThreadPoolExecutor(PUSHERS, thread_name_prefix="pusher") as pool:
            while not self._ended.wait(LOOK_SECONDS):
                # No message is taken before there is somebody to push it: its time would run meanwhile.
                while self._free.acquire(blocking=False):
                    taken = self._queue.take(1)
                    if not taken:
                        self._free.release()
                        break
                    pool.submit(self._push, taken[0])

    def _push(self, message: Message) -> None:
        try:
            if 200 <= post(self._url, envelope(message)) < 300:
                self._queue.acknowledge(message)
            elif not self._ended.is_set():
                self._queue.refuse(message)
        finally:
            self._free.release()


def post(url: str, body: bytes) -> int:
    """The status, or 0 where no answer came."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ACKNOWLEDGE_SECONDS)
    with closing(connection):
        try:
            connection.request("POST", parts.path or "/", body, {"Content-Type": "application/json"})
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
