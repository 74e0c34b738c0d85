"""How many records of a kind may be absent at once before the absence is not believed. Pure.

A practice deletes a few records in an hour. When more are absent, the likelier reason is a fault: a permission that was
lost, a filter that was ignored, an empty answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

WINDOW = timedelta(hours=1)

# Of a large kind, both must be exceeded; of a small one, the share alone decides.
MOST_RECORDS = 25
MOST_SHARE = 0.02
SMALLEST_KIND = 5
MOST_SHARE_OF_SMALL = 0.5


def is_exceeded(absent: int, kept: int) -> bool:
    """absent: records of the kind that are absent, or were marked as deleted for that in the last hour. kept: how many
    the copy held before.
    """
    if absent > MOST_RECORDS and absent > MOST_SHARE * kept:
        return True
    return kept >= SMALLEST_KIND and absent > MOST_SHARE_OF_SMALL * kept


def counted(recent: Mapping[str, int], now: datetime) -> dict[str, int]:
    """The deletions of the last hour: how many by minute (ISO time). What cannot be read is left out."""
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
