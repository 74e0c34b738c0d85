"""DrChrono's request limits as settings write them, and requests counted by slot (guide, "Rate Limits").

A request counts against a window for the window's length plus the time it may be in flight. Times are seconds since
1970 on the store's clock (`Snapshot.read_at`).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

UNIT_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}

# Requests are counted in this many slots per window. A request counts up to one slot longer than it must, which costs
# 0.4 % of the quota on average and bounds the size of the document whatever the limit is.
SLOTS = 120

# From `acquire` to the moment DrChrono counts the request. Opening a connection takes a few tenths of a second; only a
# lost packet takes longer. This costs 1.6 % of a quota per minute and more than half of one per second. A limit per
# second exists to stop bursts; the longer windows decide the throughput.
IN_FLIGHT_SECONDS = 1.0

# Per window (its seconds) and slot, a number of requests.
Counts = Mapping[int, Mapping[int, int]]


@dataclass(frozen=True)
class Window:
    """At most `limit` requests in any `seconds`.

    burst: the size of a bucket that refills evenly with `limit` in `seconds`, if it is smaller than the limit.
    """

    limit: int
    seconds: int
    burst: int | None = None

    @property
    def bucket(self) -> int:
        return self.burst or self.limit

    def slot(self, time: float) -> int:
        return math.floor(time * SLOTS / self.seconds)

    def start(self, slot: int) -> float:
        return slot * self.seconds / SLOTS

    def arrived_at(self, slot: int) -> float:
        """When DrChrono has counted every request of `slot`."""
        return self.start(slot + 1) + IN_FLIGHT_SECONDS

    def free_at(self, slot: int) -> float:
        """When the requests of `slot` no longer count."""
        return self.arrived_at(slot) + self.seconds


def parse_windows(text: str) -> tuple[Window, ...]:
    """Return `100/minute`, `10/second,500/hour` or `100/minute burst 10` as windows, shortest first.

    Raises ValueError with the reason. The caller adds the name of the setting and a valid example.
    """
    windows = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*([0-9]{1,9})\s*/\s*(second|minute|hour|day)(?:\s+burst\s+([0-9]{1,9}))?\s*", part)
        if found is None or int(found[1]) == 0 or found[3] == "0":
            raise ValueError("is not a list of numbers per second, minute, hour or day")
        limit, burst = int(found[1]), int(found[3] or found[1])
        windows.append(Window(limit, UNIT_SECONDS[found[2]], burst if burst < limit else None))
    windows.sort(key=lambda window: window.seconds)
    if len({window.seconds for window in windows}) < len(windows):
        raise ValueError("names the same unit twice")
    return tuple(windows)


def requests_a_day(windows: Sequence[Window]) -> float:
    """Return how many requests all windows together allow in a day."""
    return min(window.limit * UNIT_SECONDS["day"] / window.seconds for window in windows)


def added(counts: Counts, window: Window, times: Mapping[float, int]) -> dict[int, int]:
    """Return the slots of `window` with so many more requests at each of `times`."""
    slots = Counter(counts.get(window.seconds, {}))
    for time, count in times.items():
        slots[window.slot(time)] += count
    return dict(+slots)


def counting(counts: Counts, window: Window, now: float) -> dict[int, int]:
    """Return the slots whose requests still count against `window`."""
    slots = counts.get(window.seconds, {})
    return {slot: count for slot, count in slots.items() if now < window.free_at(slot)}
