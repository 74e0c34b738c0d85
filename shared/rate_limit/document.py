"""Read and write the shared ledger document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.documents import Documents, Snapshot, Transaction
from shared.log import log
from shared.rate_limit.encoding import MalformedLedger, cautious, decoded, encoded
from shared.rate_limit.ledger import Ledger, pruned
from shared.rate_limit.windows import Window

QUOTA = "sync_state/quota"


@dataclass(frozen=True)
class Reading:
    """The ledger and the store's time of the read (seconds). A malformed document reads as the cautious ledger."""

    ledger: Ledger
    now: float
    malformed: bool


class LedgerDocument:
    """Not thread-safe."""

    def __init__(self, documents: Documents, windows: Sequence[Window]) -> None:
        self._documents = documents
        self._windows = windows
        self._logged = False

    def read(self) -> Reading:
        """Return the ledger without expired requests and reservations. Raises StoreUnavailable."""
        reading = self._reading(self._documents.snapshot(QUOTA))
        self.note(reading)
        return Reading(pruned(reading.ledger, self._windows, reading.now), reading.now, reading.malformed)

    def read_in(self, transaction: Transaction) -> Reading:
        return self._reading(transaction.snapshot(QUOTA))

    def write_in(self, transaction: Transaction, ledger: Ledger) -> None:
        transaction.set(QUOTA, encoded(ledger))

    def note(self, reading: Reading) -> None:
        """Log a malformed document once, until it is read as a ledger again."""
        if reading.malformed and not self._logged:
            log("quota.malformed", "ERROR", id=QUOTA)
        self._logged = reading.malformed

    def _reading(self, snapshot: Snapshot) -> Reading:
        now = snapshot.read_at.timestamp()
        if snapshot.data is None:
            return Reading(Ledger(), now, malformed=False)
        try:
            return Reading(decoded(snapshot.data, now), now, malformed=False)
        except MalformedLedger:
            return Reading(cautious(self._windows, now), now, malformed=True)
