"""How many records of a kind may be absent at once before the absences are not believed. Pure.

A practice deletes a few records in an hour. If more are absent, a fault is more likely: a lost permission, an ignored
filter, an empty answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

WINDOW = timedelta(hours=1)

# For a large kind, both limits must be exceeded. For a small kind, only the share counts.
MOST_RECORDS = 25
MOST_SHARE = 0.02
SMALLEST_KIND = 5
MOST_SHARE_OF_SMALL = 0.5


def is_exceeded(absent: int, kept: int) -> bool:
    """Return whether too many records are absent. absent: how many records of the kind are absent, or were marked as
    deleted in the last hour because they were absent. kept: how many the copy had before.
    """
    if absent > MOST_RECORDS and absent > MOST_SHARE * kept:
        return True
    return kept >= SMALLEST_KIND and absent > MOST_SHARE_OF_SMALL * kept


def counted(recent: Mapping[str, int], now: datetime) -> dict[str, int]:
    """Return the deletions of the last hour by minute (ISO time). Unreadable entries are left out."""
    kept: dict[str, int] = {}
    for minute, count in recent.items():
        try:
            inside = now - datetime.fromisoformat(minute) < WINDOW
        except (TypeError, ValueError):
            continue
        if inside and isinstance(count, int):
            kept[minute] = count
    return kept


def minute_of(now: datetime) -> str:
    return now.replace(second=0, microsecond=0).isoformat()
