"""What permits a request in the quota benchmark: our rate limiter, and two simpler ones to compare it with."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import Protocol

from shared.documents import Documents, Transaction
from shared.errors import QuotaExhausted
from shared.rate_limit.ledger import Lane
from shared.rate_limit.limiter import RateLimiter
from shared.rate_limit.windows import Window, parse_windows


class Gate(Protocol):
    def acquire(self, lane: Lane) -> None: ...

    def throttled(self, until: datetime) -> None: ...


class EachAlone:
    """No shared count: a refused process waits as long as stated and knows nothing of the others."""

    def __init__(self) -> None:
        self._until = datetime.min.replace(tzinfo=timezone.utc)

    def acquire(self, lane: Lane) -> None:
        if datetime.now(timezone.utc) < self._until:
            raise QuotaExhausted(self._until)

    def throttled(self, until: datetime) -> None:
        self._until = until


class OneByOne:
    """One transaction per request, on a shared counter per minute; no lanes."""

    def __init__(self, documents: Documents, window: Window) -> None:
        self._documents = documents
        self._window = window

    def acquire(self, lane: Lane) -> None:
        number, _ = divmod(time.time(), self._window.seconds)

        def work(transaction: Transaction) -> bool:
            stored = transaction.get("sync_state/counter")
            used = stored["used"] if stored is not None and stored["number"] == number else 0
            if used < self._window.limit:
                transaction.set("sync_state/counter", {"number": number, "used": used + 1})
            return bool(used < self._window.limit)

        if not self._documents.transact(work):
            end = (number + 1) * self._window.seconds
            raise QuotaExhausted(datetime.fromtimestamp(end, timezone.utc))

    def throttled(self, until: datetime) -> None:
        pass


def make(name: str, documents: Documents, quota: str, *, instance: str, skew: timedelta) -> Gate:
    """Return the gate of this name: "each alone", "one by one" or "shared" (ours). skew: how far its clock is ahead."""
    if name == "each alone":
        return EachAlone()
    windows = parse_windows(quota)
    if name == "one by one":
        return OneByOne(documents, windows[0])
    return RateLimiter(
        documents,
        windows,
        background_share=0.8,
        now=lambda: datetime.now(timezone.utc) + skew,
        sleep=time.sleep,
        instance=instance,
    )
