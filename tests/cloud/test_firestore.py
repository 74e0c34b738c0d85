"""The Firestore adapter where it differs from the contract: a service that is away, and documents it refuses."""

from __future__ import annotations

import pytest
from google.cloud import firestore

from local.emulators import free_port
from shared.cloud.firestore import FirestoreDocuments
from shared.documents import Documents
from shared.errors import RecordTooLarge, StoreUnavailable


def test_a_service_that_is_away_is_told_within_the_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", f"127.0.0.1:{free_port()}")
    documents = FirestoreDocuments(firestore.Client(project="away"), patience_seconds=0.2)
    for call in (
        lambda: documents.get("things/1"),
        lambda: documents.get_all(["things/1"]),
        lambda: documents.transact(lambda transaction: transaction.set("things/1", {})),
        lambda: list(documents.query("things")),
        lambda: documents.count("things"),
    ):
        with pytest.raises(StoreUnavailable):
            call()


@pytest.mark.emulator
def test_a_document_over_the_limit_is_refused_by_name(firestore_documents: Documents) -> None:
    with pytest.raises(RecordTooLarge):
        firestore_documents.transact(lambda transaction: transaction.set("things/1", {"text": "x" * 1_048_600}))
