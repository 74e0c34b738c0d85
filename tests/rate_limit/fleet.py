"""Several instances with skewed clocks that share one store, in true time that the test advances."""

from __future__ import annotations

import heapq
import random
from collections.abc import Sequence

from shared.documents import Documents
from shared.errors import QuotaExhausted
from shared.rate_limit.ledger import Lane
from shared.rate_limit.limiter import RateLimiter
from shared.rate_limit.windows import IN_FLIGHT_SECONDS, Window, parse_windows
from simulator.quota import LIMITERS, Quota, parse_quota
from tests.rate_limit.instances import NOON, Clock, Watched


class Fleet:
    """Instances with skewed clocks on one store, in true time that the test advances. The store reads on true time.

    Each permitted request arrives at once or as late as IN_FLIGHT_SECONDS allows. Each half of a store call takes up to
    `slow` seconds.
    """

    def __init__(
        self, store: Documents, quota: str, skews: Sequence[float], *, seed: int = 1, slow: float = 0.1
    ) -> None:
        self.clock = Clock()
        self.random = random.Random(seed)
        self.store = Watched(store, now=self.clock.now, pause=lambda: self.clock.sleep(self.random.uniform(0, slow)))
        self.quota = quota
        self.skews = list(skews)
        self.born = 0
        self.instances: list[RateLimiter] = []
        for number in range(len(skews)):
            self.instances.append(self.start(number))
        self.arrivals: list[float] = []

    def start(self, number: int) -> RateLimiter:
        self.born += 1
        return RateLimiter(
            self.store,
            parse_windows(self.quota),
            background_share=0.8,
            now=self.clock.skewed(self.skews[number]),
            sleep=self.clock.sleep,
            instance=f"instance {self.born}",
        )

    def kill(self, number: int) -> None:
        """Replace the instance; what it reserved is lost."""
        self.instances[number] = self.start(number)

    def send(self, number: int, lane: Lane) -> float | None:
        """Send one request without waiting. If refused, return the true time at which to ask again."""
        try:
            self.instances[number].acquire(lane, wait_seconds=0)
        except QuotaExhausted as exhausted:
            return (exhausted.until - NOON).total_seconds() - self.skews[number]
        self.arrivals.append(self.clock.seconds + self.random.choice([0.0, IN_FLIGHT_SECONDS]))
        return None

    def saturate(self, seconds: float, *, workers: int = 5, live_per_second: float = 0.0) -> list[float]:
        """Run a backfill on every instance and random live events. Return how long each live event waited, sorted."""
        waits = []
        queue: list[tuple[float, int, int, float | None]] = []
        end = self.clock.seconds + seconds
        for number in range(len(self.instances) * workers):
            queue.append((self.clock.seconds, len(queue), number % len(self.instances), None))
        when = self.clock.seconds
        while live_per_second and (when := when + self.random.expovariate(live_per_second)) < end:
            queue.append((when, len(queue), self.random.randrange(len(self.instances)), when))
        heapq.heapify(queue)
        while queue[0][0] < end:
            when, order, number, came = heapq.heappop(queue)
            self.clock.seconds = max(self.clock.seconds, when)
            again = self.send(number, Lane.BACKGROUND if came is None else Lane.LIVE)
            if again is None and came is not None:
                waits.append(self.clock.seconds - came)
                continue
            pause = self.random.uniform(0.02, 0.4) if again is None else 0.01
            heapq.heappush(queue, (max(self.clock.seconds + pause, again or 0.0), order, number, came))
        return sorted(waits)

    def refused(self) -> int:
        """Return how many requests DrChrono's possible limiters would have refused."""
        count = 0
        windows, _, burst = self.quota.partition(" burst ")
        for kind in LIMITERS:
            limiter = Quota(parse_quota(windows, kind, int(burst or 0) if kind == "bucket" else 0))
            count += sum(limiter.admit(NOON.timestamp() + arrival) > 0 for arrival in sorted(self.arrivals))
        return count

    def used(self, window: Window, since: float) -> float:
        """Return the part used of what the window allowed from `since`, in true time."""
        sent = sum(arrival >= since for arrival in self.arrivals)
        return sent / (window.limit * (self.clock.seconds - since) / window.seconds)
