"""The latest arrivals, read from the copy: ids, times and our own words, never content."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.documents import Documents, Where
from shared.drchrono.ids import id_of_document
from shared.drchrono.kinds import KINDS
from shared.records.storable import META
from shared.webhooks.events import EVENTS

SPAN = timedelta(hours=1)
SOURCES = ("webhook", "pending", "sync", "backfill", "reconcile")

# Clocks of instances differ by less, so a record that is stored late is still found.
OVERLAP = timedelta(seconds=5)

# Of one kind in one look. A backfill stores more; the latest are shown.
PAGE_DOCUMENTS = 200
MOST_KEPT = 5000


@dataclass(frozen=True)
class Arrival:
    """delay: seconds from the webhook to the stored record; None if no webhook caused it."""

    kind: str
    id: str
    event: str
    source: str
    stored_at: datetime
    delay: float | None
    deleted: bool


class Arrivals:
    """The arrivals of the last hour, oldest first."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._from: dict[str, datetime] = {}
        self._known: set[tuple[str, str, datetime]] = set()
        self._kept: deque[Arrival] = deque()

    def look(self, now: datetime) -> None:
        """Read what was stored since the last look. Raises StoreUnavailable."""
        new = [arrival for kind in KINDS for arrival in self._new(kind, now)]
        self._kept = deque(sorted([*self._kept, *new], key=lambda arrival: arrival.stored_at), maxlen=MOST_KEPT)
        while self._kept and self._kept[0].stored_at < now - SPAN:
            self._kept.popleft()
        self._known = {(one.kind, one.id, one.stored_at) for one in self._kept}

    def all(self) -> list[Arrival]:
        return list(self._kept)

    def _new(self, kind: str, now: datetime) -> list[Arrival]:
        since = self._from.get(kind) or self._first(kind, now)
        found = self._documents.query(
            kind,
            [Where(f"{META}.stored_at", ">=", since - OVERLAP)],
            order_by=[f"{META}.stored_at"],
            limit=PAGE_DOCUMENTS,
            fields=[META],
        )
        read = [_arrival(kind, name, document[META]) for name, document in found]
        latest = max((arrival.stored_at for arrival in read), default=since)
        # After a full page, skip to now. Otherwise the console would lag behind a backfill.
        self._from[kind] = now if len(read) == PAGE_DOCUMENTS else max(since, latest)
        return [one for one in read if (one.kind, one.id, one.stored_at) not in self._known]

    def _first(self, kind: str, now: datetime) -> datetime:
        """Read the last hour, or as much of it as one page holds."""
        for minutes in (60, 10, 1):
            since = now - timedelta(minutes=minutes)
            if self._documents.count(kind, [Where(f"{META}.stored_at", ">=", since)]) < PAGE_DOCUMENTS:
                return since
        return now


def _arrival(kind: str, name: str, meta: dict[str, Any]) -> Arrival:
    """`_sync` also holds parts of the record (`json`), so only the fields named here are used."""
    webhook = meta["source"] == "webhook" and meta["received_at"] is not None
    return Arrival(
        kind=kind,
        id=id_of_document(name),
        event=meta["event"] if meta["event"] in EVENTS else "",
        source=meta["source"] if meta["source"] in SOURCES else "",
        stored_at=meta["stored_at"],
        delay=max(0.0, (meta["stored_at"] - meta["received_at"]).total_seconds()) if webhook else None,
        deleted=meta["deleted"] is True,
    )
