"""How long records took from the webhook to the copy, read from the copy itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.documents import Documents, Where
from shared.records.storable import META

# Of a busy day only the latest part is read: so many documents tell a percentile well enough, and cost nearly nothing.
SPANS = (timedelta(days=1), timedelta(hours=6), timedelta(hours=1), timedelta(minutes=10), timedelta(minutes=1))
MOST_DOCUMENTS = 300


@dataclass(frozen=True)
class Lag:
    """p50, p95: seconds from the newest webhook about a record to its being stored.

    Read from `_sync`: `stored_at` less `received_at`, of records that were fetched for an event, at once or after a
    time in the work queue. records: how many it is of. span: how far back they go.
    """

    p50: float
    p95: float
    records: int
    span: timedelta


def lag(documents: Documents, kind: str, now: datetime) -> Lag | None:
    """Of the last day, or of as much of it as holds not too many records. None where no webhook came."""
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
    """The smallest value that is not exceeded by this share of them."""
    return ordered[math.ceil(len(ordered) * share) - 1]
