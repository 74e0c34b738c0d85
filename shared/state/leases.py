"""Leases that keep two runs of one job apart: `sync_state/job-<name>`. A dead run's lease lapses by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from shared.documents import Documents, Transaction
from shared.errors import LeaseLost


class Leases:
    """owner: a name of this run that no other has."""

    def __init__(self, documents: Documents, now: Callable[[], datetime], new_owner: Callable[[], str]) -> None:
        self._documents = documents
        self._now = now
        self._new_owner = new_owner

    @contextmanager
    def hold(self, name: str, until: datetime) -> Iterator[dict[str, Any]]:
        """Hold the lease for the block. What the block puts into the yielded dict is kept as the last run's report.

        Raises LeaseLost when another run has it.
        """
        owner = self._new_owner()
        started = self._now()

        def take(transaction: Transaction) -> None:
            found = transaction.get(_path(name)) or {}
            if found.get("owner") not in (None, owner) and found["until"] > started:
                raise LeaseLost(f"job {name} is running since {found['started']:%H:%M:%S} UTC")
            transaction.set(_path(name), {**found, "owner": owner, "until": until, "started": started})

        def give_back(transaction: Transaction) -> None:
            found = transaction.get(_path(name)) or {}
            if found.get("owner") == owner:
                transaction.set(_path(name), {**found, "owner": None, "ended": self._now(), "report": report})

        self._documents.transact(take)
        report: dict[str, Any] = {}
        try:
            yield report
        finally:
            self._documents.transact(give_back)

    def last(self, name: str) -> dict[str, Any] | None:
        """`{owner, until, started, ended, report}` of the latest run, for `ops status`."""
        return self._documents.get(_path(name))


def _path(name: str) -> str:
    return f"sync_state/job-{name}"
