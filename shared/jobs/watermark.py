"""From when to ask for changes: DrChrono's own `updated_at` strings, which are local time without an offset.

Which zone they are in is not told, and may differ from practice to practice. So a watermark is one of DrChrono's own
strings, and where there is none, a bound that holds in every zone.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any

# `updated_at` goes back an hour when summer time ends, and lists may be some seconds old.
OVERLAP = timedelta(hours=2)
WEST = timedelta(hours=12)  # no zone is further behind UTC
EAST = timedelta(hours=14)  # nor further before_store

FORMAT = "%Y-%m-%dT%H:%M:%S"

EARLIEST = date(2009, 1, 1)  # DrChrono's first year: nothing in it is older


def since(watermark: str) -> str:
    """What to ask for so that nothing is missed after `watermark`."""
    return (_parsed(watermark) - OVERLAP).strftime(FORMAT)


def behind(instant: datetime) -> str:
    """The local time that is certainly not after `instant` (UTC), wherever the practice is."""
    return (instant - WEST).strftime(FORMAT)


def newest(records: Iterable[dict[str, Any]], known: str | None, now: datetime) -> str | None:
    """The newest `updated_at` of these and of `known`; None where neither has one.

    What lies in the future of every zone is left out: one misdated record must not hide all changes until then.
    """
    latest = (now + EAST).strftime(FORMAT)
    seen = [value for record in records if (value := _readable(record.get("updated_at"))) and value <= latest]
    return max([*seen, *([known] if known else [])], default=None)


def moved(old: str | None, seen: str | None, began: datetime) -> str:
    """The watermark after a completed walk that began at `began` (UTC) and showed `seen` as the newest `updated_at`.

    Where nothing was shown, or the kind's records have no `updated_at` (live notes), the clock says enough.
    """
    return max(filter(None, (old, seen, behind(began))))


def _parsed(watermark: str) -> datetime:
    return datetime.fromisoformat(watermark).replace(tzinfo=None)


def _readable(value: object) -> str | None:
    """`value` if it is a time, else None."""
    try:
        _parsed(str(value))
    except ValueError:
        return None
    return str(value)
