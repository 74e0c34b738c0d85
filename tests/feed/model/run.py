"""Run one schedule on an embedded store that is emptied before."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from tests.feed.model.schedule import Schedule
from workstation.embedded_documents import EmbeddedDocuments


def run_one(seed: int, file: Path, *, tracing: bool = False) -> Schedule:
    documents = EmbeddedDocuments(file)
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("delete from documents")
        connection.commit()
    schedule = Schedule(seed, documents, tracing=tracing)
    schedule.run()
    return schedule
