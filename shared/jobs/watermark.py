"""From when to request changes: DrChrono's own `updated_at` strings, which are local time without an offset.

Their time zone is not documented. It may differ between practices and kinds, and DrChrono may read `since` in another
zone: its own analytics code takes some tables for Eastern and others for Pacific time. So a watermark is one of
DrChrono's own strings, bounded by the clock, and each list requests some hours more.

The bound is learned. A record that was changed at the instant w is shown with w plus the offset of its zone, and is
fetched after w. So its `updated_at` minus the time of the fetch is at most that offset, and close to it if the change
was recent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

# The zones of the United States, from Eastern to Samoa time, are 7 h apart. When summer time ends, `updated_at` goes
# back an hour. A list may be some seconds old. The overlap costs rows of a list, not requests.
OVERLAP = timedelta(hours=8, minutes=10)
WEST = timedelta(hours=12)  # no zone is further behind UTC
EAST = timedelta(0)  # no zone of the United States is ahead of UTC, except Guam's

# This many records must agree on an offset, since a record may have the time of another zone or of a wrong clock.
QUORUM = 3
KEPT = timedelta(days=7)  # for how long: an offset changes with summer time

FORMAT = "%Y-%m-%dT%H:%M:%S"

EARLIEST = date(2009, 1, 1)  # DrChrono's first year: nothing in it was changed before


@dataclass(frozen=True)
class OffsetSample:
    """How far `updated_at` of the record `id` was ahead of UTC when it was fetched at `at`: negative in the west."""

    id: str
    seconds: float
    at: datetime

    def as_json(self) -> dict[str, Any]:
        return {"id": self.id, "seconds": self.seconds, "at": self.at}


def since(watermark: str) -> str:
    """Return the `since` with which no change after `watermark` is missed."""
    return (_parsed(watermark) - OVERLAP).strftime(FORMAT)


def behind(instant: datetime) -> str:
    """Return a local time that is not after `instant` (UTC), wherever the practice is."""
    return (instant - WEST).strftime(FORMAT)


def newest(records: Iterable[dict[str, Any]], known: str | None) -> str | None:
    """Return the newest `updated_at` of these records and of `known`; None if there is none."""
    seen = [str(record["updated_at"]) for record in records if _is_time(record.get("updated_at"))]
    return max([*seen, *([known] if known else [])], default=None)


def moved(old: str | None, seen: str | None, began: datetime, offset: timedelta) -> str:
    """Return the watermark after a completed walk that began at `began` (UTC) and showed `seen` as the newest
    `updated_at`.

    If no record was shown, or the records have no `updated_at` (live notes), the clock decides. The watermark is never
    after `began` in local time, so a record with a future date hides no change.
    """
    return min(max(filter(None, (old, seen, behind(began)))), (began + offset).strftime(FORMAT))


def learned(known: Iterable[OffsetSample], records: Mapping[str, object], fetched: datetime) -> list[OffsetSample]:
    """Return the best samples of `known` and of the records (`updated_at` by id) that were fetched at `fetched`."""
    found = {one.id: one for one in known if fetched - one.at < KEPT}
    for key, updated_at in records.items():
        if not _is_time(updated_at):
            continue
        ahead = (_parsed(str(updated_at)) - fetched.replace(tzinfo=None)).total_seconds()
        # A second or two: a change may come between the request and its answer.
        if ahead <= EAST.total_seconds() + 60 and (key not in found or found[key].seconds < ahead):
            found[key] = OffsetSample(key, ahead, fetched)
    return sorted(found.values(), key=lambda one: -one.seconds)[:QUORUM]


def offset_of(known: Sequence[OffsetSample]) -> timedelta:
    """Return the least offset of local time from UTC (negative in the west); with few samples, that of the west."""
    if len(known) < QUORUM:
        return -WEST
    least = min(one.seconds for one in known)
    return min(max(timedelta(seconds=least), -WEST), EAST)


def samples_of(stored: Iterable[Any]) -> list[OffsetSample]:
    """Return the samples of a checkpoint. Unreadable ones are omitted."""
    return [
        OffsetSample(str(one["id"]), float(one["seconds"]), one["at"])
        for one in stored
        if isinstance(one, dict) and isinstance(one.get("seconds"), int | float) and isinstance(one.get("at"), datetime)
        if "id" in one
    ]


def _parsed(watermark: str) -> datetime:
    return datetime.fromisoformat(watermark).replace(tzinfo=None)


def _is_time(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        _parsed(value)
    except ValueError:
        return False
    return True
