"""The field `_sync` of a stored record. Pure."""

from __future__ import annotations

from datetime import datetime

from shared.documents import Data
from shared.drchrono.lag import shown_until
from shared.records.ordering import Copy
from shared.records.results import Source
from shared.records.storable import META

MOST_DELIVERIES = 10  # per record: enough to recognize a repeated delivery, which comes within hours


def meta_of(seen: Copy, source: Source, now: datetime) -> Data:
    """Return the `_sync` of a living record that was fetched, without its digest, version and deliveries."""
    return {
        "fetched_at": seen.fetched_at,
        "stored_at": now,
        "events_until": seen.events_until,
        "received_at": source.received_at,
        "source": source.name,
        "event": source.event,
        "deleted": False,
        "deleted_reason": None,
    }


def looked(before: Copy | None, began: datetime, until: datetime | None = None) -> Copy:
    """Return the copy's times after a fetch that began at `began`. They never decrease, even if a fetch is stored late.

    until: the fetch proves the changes up to this instant, if that is less than its answer proves by itself.
    """
    until = shown_until(began) if until is None else min(until, shown_until(began))
    if before is None:
        return Copy(began, until, None, None, deleted=False)
    times = max(before.fetched_at, began), max(before.events_until, until)
    return Copy(*times, None, before.updated_at, deleted=False)


def deliveries_after(before: Copy | None, source: Source) -> list[str]:
    known = (*(before.deliveries if before else ()), *source.deliveries)
    return list(dict.fromkeys(known))[-MOST_DELIVERIES:]


def doubt(until: datetime | None) -> Data:
    return {} if until is None else {"doubted_until": until}


def seen_again(found: Data | None, meta: Data) -> Data:
    """Return the `_sync` of the document `found` after a fetch that showed it unchanged. meta: the new times."""
    return {**(found or {})[META], **{name: meta[name] for name in ("fetched_at", "events_until", "deliveries")}}


def kept(found: Data | None, *names: str) -> Data:
    """Return the fields of an earlier `_sync` that a new fetch keeps."""
    meta = (found or {}).get(META)
    if not isinstance(meta, dict):
        return {}
    return {name: meta[name] for name in names or ("patient_deleted",) if name in meta}
