"""What the store notes beside a record, in `_sync`. Pure."""

from __future__ import annotations

from datetime import datetime

from shared.documents import Data
from shared.drchrono.lag import shown_until
from shared.records.ordering import Copy
from shared.records.results import Source
from shared.records.storable import META

MOST_DELIVERIES = 10  # of a record: a delivery that is repeated comes within hours


def meta_of(seen: Copy, source: Source, now: datetime) -> Data:
    """Of a living record that was looked at, without its version and deliveries."""
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
    """The copy's times after a look that began at `began`: they never go back, though a look may be stored late.

    until: every change up to this instant is included, if that is less than the answer proves by itself.
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


def kept(found: Data | None, *names: str) -> Data:
    """What of an earlier `_sync` outlives a new look."""
    meta = (found or {}).get(META)
    if not isinstance(meta, dict):
        return {}
    return {name: meta[name] for name in names or ("patient_deleted",) if name in meta}
