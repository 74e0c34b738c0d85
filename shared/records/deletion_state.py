"""The state of the decisions on absence, one document `sync_state/deletions-<kind>` for each kind.

Fields: recent: deletions of the last hour, by minute. held_since: since when deletions are held. accepted_until: until
when a person's acceptance holds. reviewed_at: when the recent tombstones were last queued to be read again. asked,
shown: when another record of the kind was last requested, and when the answer showed it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from shared.documents import Data, Documents, Transaction
from shared.drchrono.kinds import Kind
from shared.records.deletion_limit import counted, minute_of

# How long a person's acceptance holds.
ACCEPTED = timedelta(hours=24)


class DeletionState:
    """Every method may raise StoreUnavailable."""

    def __init__(self, documents: Documents, now: Callable[[], datetime]) -> None:
        self._documents = documents
        self._now = now

    def read(self, kind: Kind) -> dict[str, Any]:
        return self._documents.get(_path(kind)) or {}

    def change(self, kind: Kind, changes: Data) -> None:
        self._documents.transact(
            lambda transaction: transaction.set(_path(kind), (transaction.get(_path(kind)) or {}) | changes)
        )

    def hold(self, kind: Kind) -> bool:
        """Hold the deletions of the kind. Return whether they were not held before."""
        now = self._now()

        def work(transaction: Transaction) -> bool:
            state = transaction.get(_path(kind)) or {}
            if state.get("held_since") is not None:
                return False
            transaction.set(_path(kind), {**state, "held_since": now})
            return True

        return self._documents.transact(work)

    def held_since(self, kind: Kind) -> datetime | None:
        """Return since when the deletions of the kind are held, or None."""
        since = self.read(kind).get("held_since")
        return since if isinstance(since, datetime) else None

    def accept(self, kind: Kind, now: datetime) -> None:
        """Believe every absence of the kind for the next 24 hours."""
        self.change(kind, {"accepted_until": now + ACCEPTED, "held_since": None})

    def is_accepted(self, kind: Kind) -> bool:
        until = self.read(kind).get("accepted_until")
        return isinstance(until, datetime) and self._now() < until

    def count(self, kind: Kind) -> None:
        """Count one deletion."""
        now = self._now()

        def work(transaction: Transaction) -> None:
            state = transaction.get(_path(kind)) or {}
            recent = counted(state.get("recent") or {}, now)
            recent[minute_of(now)] = recent.get(minute_of(now), 0) + 1
            transaction.set(_path(kind), {**state, "recent": recent})

        self._documents.transact(work)

    def recent(self, kind: Kind) -> int:
        """Return how many deletions of the kind were counted in the last hour."""
        return sum(counted(self.read(kind).get("recent") or {}, self._now()).values())


def _path(kind: Kind) -> str:
    return f"sync_state/deletions-{kind.name}"
