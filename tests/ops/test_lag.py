"""The lag, computed from the copy, on both stores."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from ops.lag import MOST_DOCUMENTS, lag
from shared.documents import Documents
from shared.records.storable import META

NOON = datetime(2026, 3, 10, 12, tzinfo=timezone.utc)


def put(documents: Documents, key: int, *, seconds: float, ago: timedelta, source: str = "webhook") -> None:
    stored = NOON - ago
    meta = {"stored_at": stored, "received_at": stored - timedelta(seconds=seconds), "source": source}
    documents.transact(lambda transaction: transaction.set(f"patients/{key}", {META: meta}))


def test_percentiles_are_of_the_webhooks_of_the_last_day(documents: Documents) -> None:
    for number in range(1, 21):
        put(documents, number, seconds=number, ago=timedelta(hours=1))
    put(documents, 100, seconds=900, ago=timedelta(hours=1), source="backfill")
    put(documents, 101, seconds=900, ago=timedelta(hours=25))
    found = lag(documents, "patients", NOON)
    assert found is not None
    assert (found.p50, found.p95, found.records) == (10.0, 19.0, 20)
    assert found.span == timedelta(days=1)


def test_without_webhooks_there_is_no_lag(documents: Documents) -> None:
    put(documents, 1, seconds=1, ago=timedelta(hours=1), source="sync")
    assert lag(documents, "patients", NOON) is None
    assert lag(documents, "appointments", NOON) is None


def test_on_a_busy_day_only_the_latest_documents_are_read(embedded: Documents) -> None:
    for number in range(MOST_DOCUMENTS + 1):
        put(embedded, number, seconds=500, ago=timedelta(hours=12))
    put(embedded, 10_000, seconds=2, ago=timedelta(hours=2))
    found = lag(embedded, "patients", NOON)
    assert found is not None
    assert (found.p50, found.records, found.span) == (2.0, 1, timedelta(hours=6))
