"""The system of `main.py`. If EMBEDDED_FOLDER is set, the embedded store and queue replace Google's."""

from __future__ import annotations

from pathlib import Path

from main import Once, System
from shared.settings import Environment
from workstation.embedded_documents import EmbeddedDocuments
from workstation.embedded_queue import EmbeddedQueue

FOLDER = "EMBEDDED_FOLDER"

# `make run` passes the key of the page to the console that it starts in this variable.
CONSOLE_KEY = "CONSOLE_KEY"


def local_system(environ: Environment) -> System:
    system = System(environ)
    if environ.get(FOLDER):
        folder = Path(environ[FOLDER])
        system.documents = Once(lambda: documents(folder))
        system.publish = Once(lambda: queue(folder).publish)
    return system


def documents(folder: Path) -> EmbeddedDocuments:
    return EmbeddedDocuments(folder / "documents.sqlite3")


def queue(folder: Path) -> EmbeddedQueue:
    return EmbeddedQueue(folder / "queue.sqlite3")
