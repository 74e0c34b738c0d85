"""Which kinds were announced as filled: `sync_state/feed`, {filled: {kind: since when}}."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from shared.documents import Documents, Transaction
from shared.feed.entries import Entry, Operation
from shared.feed.outbox import Outbox

_PATH = "sync_state/feed"


class Fillings:
    """Every method may raise StoreUnavailable."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._announced: set[str] = set()

    def is_announced(self, kind: str) -> bool:
        """Whether the kind was announced. This is cached once it is true, and then costs nothing."""
        if kind not in self._announced:
            self._announced |= _filled(self._documents.get(_PATH)).keys()
        return kind in self._announced

    def announce(self, kind: str, count: Callable[[], int], now: datetime, outbox: Outbox) -> bool:
        """Queue the message that the kind is filled, once. count: of its records. Return whether it was queued now."""
        if self.is_announced(kind):
            return False
        entry = Entry(kind, "", 0, Operation.FILLED, now, count=count())

        def work(transaction: Transaction) -> bool:
            state = transaction.get(_PATH) or {}
            filled = _filled(state)
            if kind in filled:
                return False
            outbox.add(transaction, [entry], None, new=False)
            transaction.set(_PATH, {**state, "filled": {**filled, kind: now}})
            return True

        return self._documents.transact(work)


def _filled(state: dict[str, Any] | None) -> dict[str, Any]:
    found = (state or {}).get("filled")
    return found if isinstance(found, dict) else {}
