"""Leases that keep two runs of one job apart: `sync_state/job-<name>`. A crashed run's lease expires by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from shared.documents import Documents, Transaction
from shared.errors import LeaseLost

# A running job renews its lease, so a crashed one blocks the next for at most this long. A run that spends longer on
# one page may overlap with another run (a request and its retry take less). An overlap costs only requests, because the
# order of fetches decides what is stored.
LEASE = timedelta(minutes=2)
RENEWED_AFTER = timedelta(seconds=30)


class Lease:
    """A lease that is held. report: stored as the last run's report when the lease is released."""

    def __init__(self, documents: Documents, now: Callable[[], datetime], name: str, owner: str) -> None:
        self.report: dict[str, Any] = {}
        self._documents = documents
        self._now = now
        self._name = name
        self._owner = owner
        self._taken = now()

    def take(self) -> None:
        """Take the lease. Raises LeaseLost if another run has it."""

        def work(transaction: Transaction) -> None:
            found = transaction.get(_path(self._name)) or {}
            if found.get("owner") not in (None, self._owner) and found["until"] > self._taken:
                raise LeaseLost(f"job {self._name} is running since {found['started']:%H:%M:%S} UTC")
            held = {"owner": self._owner, "until": self._taken + LEASE, "started": self._taken}
            transaction.set(_path(self._name), {**found, **held})

        self._documents.transact(work)

    def renew(self) -> None:
        """Renew the lease, at most once in `RENEWED_AFTER`. Raises LeaseLost if it expired and another run took it."""
        now = self._now()
        if now - self._taken < RENEWED_AFTER:
            return

        def work(transaction: Transaction) -> None:
            found = transaction.get(_path(self._name)) or {}
            if found.get("owner") != self._owner:
                raise LeaseLost(f"job {self._name} was taken over by another run")
            transaction.set(_path(self._name), {**found, "until": now + LEASE})

        self._documents.transact(work)
        self._taken = now

    def release(self) -> None:
        def work(transaction: Transaction) -> None:
            found = transaction.get(_path(self._name)) or {}
            if found.get("owner") == self._owner:
                ended = {"owner": None, "ended": self._now(), "report": self.report}
                transaction.set(_path(self._name), {**found, **ended})

        self._documents.transact(work)


class Leases:
    """new_owner: returns a unique name."""

    def __init__(self, documents: Documents, now: Callable[[], datetime], new_owner: Callable[[], str]) -> None:
        self._documents = documents
        self._now = now
        self._new_owner = new_owner

    @contextmanager
    def hold(self, name: str) -> Iterator[Lease]:
        """Hold the lease for the block. Raises LeaseLost if another run has it."""
        lease = Lease(self._documents, self._now, name, self._new_owner())
        lease.take()
        try:
            yield lease
        finally:
            lease.release()

    def last(self, name: str) -> dict[str, Any] | None:
        """`{owner, until, started, ended, report}` of the latest run, for `ops status`."""
        return self._documents.get(_path(name))


def _path(name: str) -> str:
    return f"sync_state/job-{name}"
