"""The copy as a reader sees it, and the documents that the system writes, on both stores."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.cloud import firestore

from drchrono_reader import Copy, EmbeddedFile
from shared.documents import Documents
from workstation.embedded_documents import EmbeddedDocuments


@pytest.fixture
def copy(documents: Documents, tmp_path: Path, project: str) -> Copy:
    if isinstance(documents, EmbeddedDocuments):
        return Copy(EmbeddedFile(tmp_path / "store.sqlite3"))
    return Copy(firestore.Client(project=project))
