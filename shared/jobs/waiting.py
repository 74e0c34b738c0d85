"""Background requests wait for the rate limiter until their run's deadline, instead of ending the run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

from shared.errors import QuotaExhausted
from shared.rate_limit.ledger import Lane

# How often a waiting run renews its lease and asks again, since other instances may have returned requests.
LONGEST_SLEEP = timedelta(seconds=20)


class Limiter(Protocol):
    """The methods of `shared.rate_limit.limiter.RateLimiter` that are used here."""

    def acquire(self, lane: Lane) -> None: ...
    def throttled(self, until: datetime) -> None: ...


class WaitingLimiter:
    """The rate limiter of one run. Until `wait_until` is called, it waits no longer than the limiter itself."""

    def __init__(self, limiter: Limiter, now: Callable[[], datetime], sleep: Callable[[float], None]) -> None:
        self._limiter = limiter
        self._now = now
        self._sleep = sleep
        self._deadline: datetime | None = None
        self._renew: Callable[[], None] = lambda: None

    def wait_until(self, deadline: datetime, renew: Callable[[], None]) -> None:
        """renew: called before each wait; an error that it raises ends the run."""
        self._deadline, self._renew = deadline, renew

    def acquire(self, lane: Lane) -> None:
        """Raises QuotaExhausted if no request becomes free before the deadline, and StoreUnavailable."""
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
