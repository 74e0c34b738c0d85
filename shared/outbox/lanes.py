"""The lane in which the outbox sends: a burst of entries leaves the live share of the quota to DrChrono's events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

from shared.outbox.queries import Entries
from shared.rate_limit.ledger import Lane

# Further entries are background work.
BURST = 20

Api_co = TypeVar("Api_co", covariant=True)


class Lanes(Generic[Api_co]):
    """apis: the client in each lane."""

    def __init__(self, apis: Mapping[Lane, Api_co], entries: Entries) -> None:
        self._apis = apis
        self._entries = entries

    def api(self) -> Api_co:
        """Return the client for the next entry. Raises StoreUnavailable."""
        return self._apis[Lane.LIVE if self._entries.backlog() <= BURST else Lane.BACKGROUND]
