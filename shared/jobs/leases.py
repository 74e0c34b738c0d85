"""Leases that keep two runs of one job apart: `sync_state/job-<name>`. A dead run's lease lapses by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from shared.documents import Documents, Transaction
from shared.errors import LeaseLost

# A lease lasts this long, and a living run renews it: so a dead one holds up the next for two minutes, however long
# it might have gone on. A run that takes longer over one page (a request and its repetition are done before) may meet
# another: that costs requests, and nothing else, for the order of fetches decides what is stored.
LEASE = timedelta(minutes=2)
RENEWED_AFTER = timedelta(seconds=30)


class Lease:
    """One that is held. report: what is kept as the last run's when it is given back."""

    def __init__(self, documents: Documents, now: Callable[[], datetime], name: str, owner: str) -> None:
        self.report: dict[str, Any] = {}
        self._documents = documents
        self._now = now
        self._name = name
        self._owner = owner
        self._taken = now()

    def take(self) -> None:
        def work(transaction: Transaction) -> None:
            found = transaction.get(_path(self._name)) or {}
            if found.get("owner") not in (None, self._owner) and found["until"] > self._taken:
                raise LeaseLost(f"job {self._name} is running since {found['started']:%H:%M:%S} UTC")
            held = {"owner": self._owner, "until": self._taken + LEASE, "started": self._taken}
            transaction.set(_path(self._name), {**found, **held})

        self._documents.transact(work)

    def renew(self) -> None:
        """To be called often; writes now and then. Raises LeaseLost when it lapsed and another run took it."""
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

    def give_back(self) -> None:
        def work(transaction: Transaction) -> None:
            found = transaction.get(_path(self._name)) or {}
            if found.get("owner") == self._owner:
                ended = {"owner": None, "ended": self._now(), "report": self.report}
                transaction.set(_path(self._name), {**found, **ended})

        self._documents.transact(work)


class Leases:
    """new_owner: gives a name that no other run has."""

    def __init__(self, documents: Documents, now: Callable[[], datetime], new_owner: Callable[[], str]) -> None:
        self._documents = documents
        self._now = now
        self._new_owner = new_owner

    @contextmanager
    def hold(self, name: str) -> Iterator[Lease]:
        """Hold the lease for the block. Raises LeaseLost when another run has it."""
        lease = Lease(self._documents, self._now, name, self._new_owner())
        lease.take()
        try:
            yield lease
        finally:
            lease.give_back()

    def last(self, name: str) -> dict[str, Any] | None:
        """`{owner, until, started, ended, report}` of the latest run, for `ops status`."""
        return self._documents.get(_path(name))


def _path(name: str) -> str:
    return f"sync_state/job-{name}"
