"""The request quota: several windows at once, each fixed, sliding or a bucket.

The guide: "Standard: 100 requests per minute. Burst: short bursts allowed." The live service: 500 an hour per
application, set back at the top of the hour, and 10 a second (support pages).
"""

from __future__ import annotations

import math
import re
from collections import deque
from dataclasses import dataclass, field
from threading import Lock
from typing import Literal, Protocol

Limiter = Literal["fixed", "sliding", "bucket"]
LIMITERS: tuple[Limiter, ...] = ("fixed", "sliding", "bucket")
_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
_WINDOW = re.compile(r"(\d+)/(?:(\d+)\s*)?(second|minute|hour|day|s)s?")


@dataclass(frozen=True, kw_only=True)
class Window:
    """`limit` requests in `seconds`; `burst` is a bucket's capacity (0: the limit)."""

    limit: int
    seconds: float
    kind: Limiter = "fixed"
    burst: int = 0

    def __post_init__(self) -> None:
        if self.limit < 1 or self.seconds <= 0 or self.burst < 0 or self.kind not in LIMITERS:
            raise ValueError(f"not a quota window: {self}")


def parse_quota(text: str, kind: Limiter = "fixed", burst: int = 0) -> tuple[Window, ...]:
    """Windows from `100/minute` or `10/second,500/hour` (`5/10s` works, too); none from an empty text."""
    windows = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = _WINDOW.fullmatch(part)
        if not match:
            raise ValueError(f"not a quota: {part!r} (write 100/minute, or 10/second,500/hour)")
        limit, count, unit = match.groups()
        seconds = int(count or 1) * _UNITS.get(unit, 1)
        windows.append(Window(limit=int(limit), seconds=seconds, kind=kind, burst=burst))
    return tuple(windows)


class _Meter(Protocol):
    def wait(self, now: float) -> float:
        """Seconds until one more request fits; 0 when it fits now."""

    def take(self, now: float) -> None:
        """Count one request."""


@dataclass
class _Fixed:
    """Counts anew at every whole multiple of its length: the top of the minute, of the hour."""

    window: Window
    index: int = -1
    used: int = 0

    def wait(self, now: float) -> float:
        index = math.floor(now / self.window.seconds)
        if index != self.index:
            self.index, self.used = index, 0
        return 0.0 if self.used < self.window.limit else (index + 1) * self.window.seconds - now

    def take(self, now: float) -> None:
        self.wait(now)
        self.used += 1


@dataclass
class _Sliding:
    """Counts what the last `seconds` saw."""

    window: Window
    seen: deque[float] = field(default_factory=deque)

    def wait(self, now: float) -> float:
        while self.seen and self.seen[0] <= now - self.window.seconds:
            self.seen.popleft()
        if len(self.seen) < self.window.limit:
            return 0.0
        return self.seen[-self.window.limit] + self.window.seconds - now

    def take(self, now: float) -> None:
        self.seen.append(now)


@dataclass
class _Bucket:
    """Fills evenly up to its capacity and lets through while a whole token is left."""

    window: Window
    tokens: float = -1.0
    filled_at: float = 0.0

    def wait(self, now: float) -> float:
        capacity = float(self.window.burst or self.window.limit)
        rate = self.window.limit / self.window.seconds
        self.tokens = capacity if self.tokens < 0 else min(capacity, self.tokens + (now - self.filled_at) * rate)
        self.filled_at = now
        # The slack keeps a caller who waited exactly as told from failing on a rounding error.
        return 0.0 if self.tokens >= 1 - 1e-6 else (1 - self.tokens) / rate

    def take(self, now: float) -> None:
        self.tokens = max(0.0, self.tokens - 1)


_METERS: dict[Limiter, type[_Fixed] | type[_Sliding] | type[_Bucket]] = {
    "fixed": _Fixed,
    "sliding": _Sliding,
    "bucket": _Bucket,
}


class Quota:
    """All windows together: a request passes when it fits into each of them."""

    def __init__(self, windows: tuple[Window, ...], *, throttled_counts: bool = False) -> None:
        self._throttled_counts = throttled_counts
        self._lock = Lock()
        self.set(windows)

    def set(self, windows: tuple[Window, ...]) -> None:
        """Replace the windows; counting starts anew."""
        self.windows = windows
        self._meters: list[_Meter] = [_METERS[window.kind](window) for window in windows]

    def admit(self, now: float) -> float:
        """0 when the request passes (and was counted), otherwise the seconds until one would."""
        with self._lock:
            wait = max((meter.wait(now) for meter in self._meters), default=0.0)
            if wait == 0.0 or self._throttled_counts:
                for meter in self._meters:
                    meter.take(now)
            return wait
