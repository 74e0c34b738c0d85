"""Dead letters of the embedded queue: its table `dead` (`workstation.embedded_queue`)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

from ops.dead_letters_messages import CALL_SECONDS, DeadLetter, QueueUnavailable


class EmbeddedDeadLetters:
    def __init__(self, file: Path) -> None:
        self._file = file

    def look(self, most: int) -> list[DeadLetter]:
        sql = "select id, data, attributes, published_at from dead order by id limit ?"
        with closing(self._connection()) as connection:
            rows = connection.execute(sql, (most,)).fetchall()
        return [
            DeadLetter(str(number), datetime.fromtimestamp(published_at, timezone.utc), data, json.loads(attributes))
            for number, data, attributes, published_at in rows
        ]

    def replay(self, messages: Sequence[DeadLetter]) -> None:
        sql = (
            "insert into messages (data, attributes, published_at, due)"
            " select data, attributes, published_at, 0 from dead where id = ?"
        )
        self._remove(messages, [sql])

    def discard(self, messages: Sequence[DeadLetter]) -> None:
        self._remove(messages, [])

    def _remove(self, messages: Iterable[DeadLetter], before: Sequence[str]) -> None:
        """Delete the messages. Execute the statements `before` for each of them first, in the same transaction."""
        with closing(self._connection()) as connection, connection:
            connection.execute("begin immediate")
            for message in messages:
                for sql in (*before, "delete from dead where id = ?"):
                    connection.execute(sql, (int(message.number),))

    def _connection(self) -> sqlite3.Connection:
        if not self._file.is_file():
            raise QueueUnavailable(f"there is no queue in {self._file.parent}: is `make run` still running?")
        return sqlite3.connect(self._file, timeout=CALL_SECONDS)
