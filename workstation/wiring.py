"""The system on this machine. If EMBEDDED_FOLDER is set, the embedded store and queue replace Google's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from shared.errors import PublishFailed
from shared.settings import Environment
from shared.wiring.once import Once
from shared.wiring.system import System
from workstation.embedded_documents import EmbeddedDocuments
from workstation.embedded_queue import EmbeddedQueue

if TYPE_CHECKING:
    from shared.feed.entries import Message
    from shared.feed.relay import Publish

FOLDER = "EMBEDDED_FOLDER"

# `make run` passes the key of the page to the console that it starts in this variable.
CONSOLE_KEY = "CONSOLE_KEY"


def local_system(environ: Environment) -> System:
    system = System(environ)
    if environ.get(FOLDER):
        folder = Path(environ[FOLDER])
        system.documents = Once(lambda: documents(folder))
        system.publish = Once(lambda: queue(folder).publish)
        system.publish_feed = Once(lambda: into(changes(folder)))
    return system


def documents(folder: Path) -> EmbeddedDocuments:
    return EmbeddedDocuments(folder / "documents.sqlite3")


def queue(folder: Path) -> EmbeddedQueue:
    return EmbeddedQueue(folder / "queue.sqlite3")


def changes(folder: Path) -> EmbeddedQueue:
    """Return the queue of messages of the change feed that the local run has not printed yet."""
    return EmbeddedQueue(folder / "changes.sqlite3")


def into(changes: EmbeddedQueue) -> Publish:
    """Return a publisher of the feed on a queue, which keeps the order of messages."""

    def publish(messages: Sequence[Message]) -> set[int]:
        published = set()
        for index, message in enumerate(messages):
            try:
                changes.publish(message.data, message.attributes)
            except PublishFailed:
                break
            published.add(index)
        return published

    return publish
