"""How long records took from the webhook to the copy, read from the copy itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.documents import Documents, Where
from shared.records.storable import META

# On a busy day, only the latest documents are read. This many give a good percentile and cost almost nothing.
SPANS = (timedelta(days=1), timedelta(hours=6), timedelta(hours=1), timedelta(minutes=10), timedelta(minutes=1))
MOST_DOCUMENTS = 300


@dataclass(frozen=True)
class Lag:
    """p50, p95: seconds from the newest webhook about a record until it was stored. Computed from `_sync`: `stored_at`
    less `received_at`, for records that were fetched for an event, at once or from the work queue. records: how many
    were measured. span: how far back they go.
    """

    p50: float
    p95: float
    records: int
    span: timedelta


def lag(documents: Documents, kind: str, now: datetime) -> Lag | None:
    """Measure the last day, or as much of it as the limit of documents allows. Return None if no webhook came."""
    for span in SPANS:
        since = [Where(f"{META}.stored_at", ">=", now - span)]
        if documents.count(kind, since) <= MOST_DOCUMENTS:
            break
    found = documents.query(kind, since, order_by=[f"{META}.stored_at"], limit=MOST_DOCUMENTS, fields=[META])
    stored = [document[META] for _, document in found]
    seconds = sorted(
        (meta["stored_at"] - meta["received_at"]).total_seconds() for meta in stored if meta["source"] == "webhook"
    )
    if not seconds:
        return None
    return Lag(percentile(seconds, 0.50), percentile(seconds, 0.95), len(seconds), span)


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest value that this share of the values does not exceed."""
    return ordered[math.ceil(len(ordered) * share) - 1]
