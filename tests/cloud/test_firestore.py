"""The Firestore adapter beyond the contract tests: an unreachable service, refused documents, broken streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core.exceptions import ServiceUnavailable
from google.cloud import firestore

from local.emulators import Emulators, free_port
from shared.cloud.firestore import FirestoreDocuments
from shared.documents import Documents
from shared.errors import RecordTooLarge, StoreUnavailable


def test_an_unreachable_service_is_reported_within_the_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRESTORE_EMULATOR_HOST", f"127.0.0.1:{free_port()}")
    documents = FirestoreDocuments(firestore.Client(project="away"), timeout_seconds=0.2)
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


@pytest.mark.emulator
def test_a_query_whose_stream_broke_returns_at_most_its_limit(
    emulators: Emulators, project: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = firestore.Client(project=project)
    documents = FirestoreDocuments(client)
    for number in range(30):
        documents.transact(lambda transaction, number=number: transaction.set(f"things/{number:02}", {"n": number}))  # type: ignore[misc]
    run_query = client._firestore_api.run_query
    broken: list[int] = []

    def breaks(*arguments: Any, **options: Any) -> Iterator[Any]:
        for count, response in enumerate(run_query(*arguments, **options)):
            if count == 10 and not broken:
                broken.append(count)
                raise ServiceUnavailable("the stream broke")  # type: ignore[no-untyped-call]
            yield response

    monkeypatch.setattr(client._firestore_api, "run_query", breaks)
    assert [key for key, _ in documents.query("things", limit=15)] == [f"{number:02}" for number in range(15)]
    assert broken == [10]
