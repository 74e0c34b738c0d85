"""Background requests that wait for the rate limit as long as their run may last, instead of ending it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from shared.errors import QuotaExhausted
from shared.rate_limit.ledger import Lane

# At least so often a waiting run renews its lease and asks again: others may have returned requests.
LONGEST_SLEEP = timedelta(seconds=20)


class Limiter(Protocol):
    """Of `shared.rate_limit.limiter.RateLimiter`."""

    def acquire(self, lane: Lane) -> None: ...
    def throttled(self, until: datetime) -> None: ...


class WaitingLimiter:
    """Of one run. Until `wait_until` was called, it waits no longer than the rate limiter itself."""

    def __init__(self, limiter: Limiter, now: Callable[[], datetime], sleep: Callable[[float], None]) -> None:
        self._limiter = limiter
        self._now = now
        self._sleep = sleep
        self._deadline: datetime | None = None
        self._renew: Callable[[], None] = lambda: None

    def wait_until(self, deadline: datetime, renew: Callable[[], None]) -> None:
        """renew: is called before each wait, and may raise what ends the run."""
        self._deadline, self._renew = deadline, renew

    def acquire(self, lane: Lane) -> None:
        """Raises QuotaExhausted where no request becomes free before the deadline, and StoreUnavailable."""
        while True:
            try:
                return self._limiter.acquire(lane)
            except QuotaExhausted as error:
                if self._deadline is None or error.until >= self._deadline:
                    raise
                self._renew()
                wait = min(error.until - self._now(), LONGEST_SLEEP)
            self._sleep(max(wait.total_seconds(), 0.0))

    def throttled(self, until: datetime) -> None:
        self._limiter.throttled(until)
