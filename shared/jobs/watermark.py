"""From when to ask for changes: DrChrono's own `updated_at` strings, which are local time without an offset.

Which zone they are in is not told. It may differ between practices and kinds, and `since` may be read in another one:
DrChrono's own analytics code takes some tables for Eastern and others for Pacific time. So a watermark is one of
DrChrono's own strings, held back by what the clock allows, and each list asks for some hours more than that.

What the clock allows is learned. A record that was changed at the instant w is shown with w plus the offset of its
zone, and is fetched after w. So its `updated_at` less the time of the fetch is at most that offset, and close to it
where the change was recent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

# From Eastern to Samoa time, the zones of the United States are 7 h apart; when summer time ends, `updated_at` goes
# back an hour; and what a list shows may be some seconds old. It costs rows of a list, not requests.
OVERLAP = timedelta(hours=8, minutes=10)
WEST = timedelta(hours=12)  # no zone is further behind UTC
EAST = timedelta(0)  # no zone of the United States is before UTC, but for Guam's

# So many records must bear an offset out: a record may carry the time of another zone, or of a wrong clock.
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
    """What to ask for so that nothing is missed after `watermark`."""
    return (_parsed(watermark) - OVERLAP).strftime(FORMAT)


def behind(instant: datetime) -> str:
    """The local time that is certainly not after `instant` (UTC), wherever the practice is."""
    return (instant - WEST).strftime(FORMAT)


def newest(records: Iterable[dict[str, Any]], known: str | None) -> str | None:
    """The newest `updated_at` of these and of `known`; None where neither has one."""
    seen = [str(record["updated_at"]) for record in records if _is_time(record.get("updated_at"))]
    return max([*seen, *([known] if known else [])], default=None)


def moved(old: str | None, seen: str | None, began: datetime, offset: timedelta) -> str:
    """The watermark after a completed walk that began at `began` (UTC) and showed `seen` as the newest `updated_at`.

    Where nothing was shown, or the kind's records have no `updated_at` (live notes), the clock says enough. It is never
    after `began` in local time: a record that is dated ahead hides no change.
    """
    return min(max(filter(None, (old, seen, behind(began)))), (began + offset).strftime(FORMAT))


def learned(known: Iterable[OffsetSample], records: Mapping[str, object], fetched: datetime) -> list[OffsetSample]:
    """The records that tell most of the offset: of `known`, and of those fetched at `fetched` (`updated_at` by id)."""
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
    """How far local time is ahead of UTC at least (negative in the west). Where little is known: as in the last."""
    if len(known) < QUORUM:
        return -WEST
    least = min(one.seconds for one in known)
    return min(max(timedelta(seconds=least), -WEST), EAST)


def samples_of(stored: Iterable[Any]) -> list[OffsetSample]:
    """Of a checkpoint. What cannot be read is left out."""
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
