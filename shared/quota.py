"""DrChrono's request limits: how they are written, and the arithmetic of sharing them (guide, "Rate Limits")."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

UNIT_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}


class Lane(StrEnum):
    """Who asks: `live` is webhook events and writes, `background` is backfill, sync, reconcile and child lists."""

    LIVE = "live"
    BACKGROUND = "background"


@dataclass(frozen=True)
class Window:
    """At most `limit` requests in any `seconds`."""

    limit: int
    seconds: int


def parse_windows(written: str) -> tuple[Window, ...]:
    """`100/minute` or `10/second,500/hour` as windows, shortest first.

    Raises ValueError with what is wrong; the caller names the setting and shows a right value.
    """
    windows = []
    for part in written.split(","):
        found = re.fullmatch(r"\s*([0-9]{1,9})\s*/\s*(second|minute|hour|day)\s*", part)
        if found is None or int(found[1]) == 0:
            raise ValueError("is not a list of numbers per second, minute, hour or day")
        windows.append(Window(limit=int(found[1]), seconds=UNIT_SECONDS[found[2]]))
    windows.sort(key=lambda window: window.seconds)
    if len({window.seconds for window in windows}) < len(windows):
        raise ValueError("names the same unit twice")
    return tuple(windows)
