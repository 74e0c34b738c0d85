"""The system of `main.py`, with the embedded store and queue in place of Google's where EMBEDDED_FOLDER says so."""

from __future__ import annotations

from pathlib import Path

from main import Once, System
from shared.settings import Environment
from workstation.embedded_documents import EmbeddedDocuments
from workstation.embedded_queue import EmbeddedQueue

FOLDER = "EMBEDDED_FOLDER"

# By this, `make run` tells the console that it starts with which key the page is to be opened.
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
