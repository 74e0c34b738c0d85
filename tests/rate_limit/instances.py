"""A limiter on a clock of the test, and a store that counts, fails and takes time on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

from shared.documents import Data, Documents, Snapshot, Transaction, Where
from shared.errors import QuotaExhausted, StoreUnavailable
from shared.rate_limit.ledger import Lane
from shared.rate_limit.limiter import RateLimiter
from shared.rate_limit.windows import parse_windows

T = TypeVar("T")
NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


class Clock:
    """Moved by the test, and by `sleep`."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds

    def skewed(self, seconds: float) -> Callable[[], datetime]:
        return lambda: self.now() + timedelta(seconds=seconds)


def limiter(documents: Documents, clock: Clock, instance: str = "a", quota: str = "100/minute") -> RateLimiter:
    windows = parse_windows(quota)
    return RateLimiter(documents, windows, background_share=0.8, now=clock.now, sleep=clock.sleep, instance=instance)


def take(one: RateLimiter, lane: Lane, most: int = 1000) -> int:
    """Return how many requests are permitted without waiting."""
    for count in range(most):
        try:
            one.acquire(lane, wait_seconds=0)
        except QuotaExhausted:
            return count
    return most


class Watched:
    """A store that counts its transactions, takes time, fails on demand, and reads on the clock of the test."""

    def __init__(
        self,
        documents: Documents,
        *,
        now: Callable[[], datetime] | None = None,
        pause: Callable[[], None] = lambda: None,
    ) -> None:
        self._documents = documents
        self._now = now
        self._pause = pause
        self.transactions = 0
        self.broken = ""

    def get(self, path: str) -> Data | None:
        return self._documents.get(path)

    def snapshot(self, path: str) -> Snapshot:
        if self.broken:
            raise StoreUnavailable("broken by the test")
        return self.read(self._documents, path)

    def read(self, source: Documents | Transaction, path: str) -> Snapshot:
        self._pause()
        found = source.snapshot(path)
        if self._now is not None:
            found = Snapshot(found.data, self._now())
        self._pause()
        return found

    def transact(self, work: Callable[[Transaction], T]) -> T:
        self.transactions += 1
        if self.broken == "before":
            raise StoreUnavailable("broken by the test")
        result = self._documents.transact(lambda transaction: work(WatchedTransaction(transaction, self)))
        self._pause()
        if self.broken == "after":
            raise StoreUnavailable("broken by the test")
        return result

    def get_all(self, paths: Sequence[str], fields: Sequence[str] = ()) -> dict[str, Data]:
        raise NotImplementedError

    def each(self, work: Callable[[Any], T], items: Iterable[Any]) -> list[T]:
        raise NotImplementedError

    def query(self, collection: str, where: Sequence[Where] = (), **rest: Any) -> Iterator[tuple[str, Data]]:
        raise NotImplementedError

    def count(self, collection: str, where: Sequence[Where] = ()) -> int:
        raise NotImplementedError


class WatchedTransaction:
    def __init__(self, transaction: Transaction, watched: Watched) -> None:
        self._transaction, self._watched = transaction, watched

    def get(self, path: str) -> Data | None:
        return self._transaction.get(path)

    def snapshot(self, path: str) -> Snapshot:
        return self._watched.read(self._transaction, path)

    def get_all(self, paths: Sequence[str], fields: Sequence[str] = ()) -> dict[str, Data]:
        raise NotImplementedError

    def create(self, path: str, data: Data) -> None:
        self._transaction.create(path, data)

    def set(self, path: str, data: Data) -> None:
        self._transaction.set(path, data)

    def update(self, path: str, data: Data) -> None:
        self._transaction.update(path, data)

    def delete(self, path: str) -> None:
        self._transaction.delete(path)
