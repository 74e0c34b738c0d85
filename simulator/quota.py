"""Rate limits: several windows at once, each fixed, sliding or a token bucket.

The guide: "Standard: 100 requests per minute. Burst: short bursts allowed." The live service: 500 requests an hour
per application, reset at the top of the hour, and 10 a second (support pages).
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
    """`limit` requests in `seconds`. `burst` is the capacity of a bucket; 0 means the limit."""

    limit: int
    seconds: float
    kind: Limiter = "fixed"
    burst: int = 0

    def __post_init__(self) -> None:
        if self.limit < 1 or self.seconds <= 0 or self.burst < 0 or self.kind not in LIMITERS:
            raise ValueError(f"not a quota window: {self}")


def parse_quota(text: str, kind: Limiter = "fixed", burst: int = 0) -> tuple[Window, ...]:
    """Return the windows of `100/minute`, `10/second,500/hour` or `5/10s`. An empty text has none.

    Raises ValueError if the text is unreadable.
    """
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
        """Return the seconds until another request is allowed; 0 if it is allowed now."""

    def take(self, now: float) -> None:
        """Count one request."""


@dataclass
class _Fixed:
    """Resets at each whole multiple of its length, such as the top of the minute or hour."""

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
    """Counts the requests of the last `seconds`."""

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
    """Refills at a constant rate up to its capacity. A request takes one token."""

    window: Window
    tokens: float = -1.0
    filled_at: float = 0.0

    def wait(self, now: float) -> float:
        capacity = float(self.window.burst or self.window.limit)
        rate = self.window.limit / self.window.seconds
        self.tokens = capacity if self.tokens < 0 else min(capacity, self.tokens + (now - self.filled_at) * rate)
        self.filled_at = now
        # The tolerance prevents a rounding error from refusing a caller that waited exactly as told.
        return 0.0 if self.tokens >= 1 - 1e-6 else (1 - self.tokens) / rate

    def take(self, now: float) -> None:
        self.tokens = max(0.0, self.tokens - 1)


_METERS: dict[Limiter, type[_Fixed] | type[_Sliding] | type[_Bucket]] = {
    "fixed": _Fixed,
    "sliding": _Sliding,
    "bucket": _Bucket,
}


class Quota:
    """All windows together. A request passes if every window allows it."""

    def __init__(self, windows: tuple[Window, ...], *, throttled_counts: bool = False) -> None:
        self._throttled_counts = throttled_counts
        self._lock = Lock()
        self.set(windows)

    def set(self, windows: tuple[Window, ...]) -> None:
        """Replace the windows and reset their counts."""
        self.windows = windows
        self._meters: list[_Meter] = [_METERS[window.kind](window) for window in windows]

    def admit(self, now: float) -> float:
        """Count a request and return 0 if it passes, otherwise return the seconds until one would."""
        with self._lock:
            wait = max((meter.wait(now) for meter in self._meters), default=0.0)
            if wait == 0.0 or self._throttled_counts:
                for meter in self._meters:
                    meter.take(now)
            return wait
