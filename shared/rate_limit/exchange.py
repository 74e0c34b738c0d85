"""One transaction of an instance on the ledger: report what was sent, return the rest, and reserve again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from shared.documents import Documents, Transaction
from shared.rate_limit.capacity import NOTE_SECONDS, with_reservation
from shared.rate_limit.document import LedgerDocument, Reading
from shared.rate_limit.ledger import Lane, Ledger, pruned, settled, with_cooldown
from shared.rate_limit.reservations import (
    COMMIT_SECONDS,
    TURN_SECONDS,
    HeldReservation,
    Refusal,
    asked_for,
    turn_seconds,
)
from shared.rate_limit.windows import Window


@dataclass(frozen=True)
class Exchanged:
    """What one transaction read and made of it. called_at, clock: this instance's clock before and after the read."""

    read: Reading
    ledger: Ledger
    number: int
    wrote: bool
    asked: dict[Lane, int]
    granted: dict[Lane, int]
    called_at: float
    clock: float
    life_seconds: float

    def reservation(self) -> HeldReservation | None:
        """Return what this instance may send now; None if nothing was granted."""
        if not any(self.granted.values()):
            return None
        return HeldReservation(
            self.number,
            self.granted,
            offset=self.read.now - self.called_at,
            reserved_at=self.called_at,
            until=self.called_at + self.life_seconds,
            checked_at=self.called_at,
        )

    def cooldown_until(self) -> float | None:
        """Return when one request may probe, on this instance's clock; None without a cooldown, or if it is probed."""
        cooldown = self.ledger.cooldown
        if cooldown is None or cooldown.probed:
            return None
        return self.clock + cooldown.until - self.read.now


class Exchange:
    """Runs the transactions of one instance. Not thread-safe."""

    def __init__(
        self,
        documents: Documents,
        document: LedgerDocument,
        windows: tuple[Window, ...],
        *,
        background_share: float,
        clock: Callable[[], float],
        instance: str,
    ) -> None:
        self._documents = documents
        self._document = document
        self._windows = windows
        self._share = background_share
        self._clock = clock
        self._instance = instance
        self._number = 0

    def run(
        self,
        least: Mapping[Lane, int],
        held: HeldReservation | None,
        refused: Mapping[Lane, Refusal],
        *,
        cooldown_until: float | None,
    ) -> Exchanged:
        """Settle `held` and reserve again: at least `least` per lane, if available. Raises StoreUnavailable.

        refused: the last refusal of each lane. cooldown_until: a cooldown to write, on this instance's clock.
        """
        self._number += 1
        done = self._documents.transact(
            lambda transaction: self._work(transaction, least, held, refused, cooldown_until)
        )
        self._document.note(done.read)
        return done

    def _work(
        self,
        transaction: Transaction,
        least: Mapping[Lane, int],
        held: HeldReservation | None,
        refused: Mapping[Lane, Refusal],
        cooldown_until: float | None,
    ) -> Exchanged:
        """Run in the transaction, perhaps several times: change nothing but the document."""
        called_at = self._clock()
        read = self._document.read_in(transaction)
        clock, now = self._clock(), read.now
        ledger = read.ledger
        number, times, live = (held.number, held.sent_at(*Lane), held.sent_at(Lane.LIVE)) if held else (0, [], [])
        ledger = pruned(settled(ledger, self._windows, self._instance, number, times, live), self._windows, now)
        if cooldown_until is not None:
            ledger = with_cooldown(ledger, self._windows, now + cooldown_until - called_at)
        life_seconds = turn_seconds(len(ledger.reservations) + 1) + COMMIT_SECONDS
        asked = asked_for(least, held, refused, clock, life_seconds)
        if asked.get(Lane.LIVE):
            ledger = replace(ledger, live_at=now)
        ledger, granted = with_reservation(
            ledger,
            self._windows,
            asked,
            instance=self._instance,
            number=self._number,
            until=now + life_seconds,
            now=now,
            share=self._share,
        )

        wrote = read.malformed or _is_worth_writing(read.ledger, ledger, self._instance)
        if wrote:
            self._document.write_in(transaction, ledger)
        return Exchanged(read, ledger, self._number, wrote, asked, granted, called_at, clock, life_seconds)


def _is_worth_writing(before: Ledger, after: Ledger, instance: str) -> bool:
    """A refusal changes nothing, unless it is the first of its lane for a while."""
    if instance in before.reservations or instance in after.reservations or after.cooldown != before.cooldown:
        return True
    return is_much_later(before.live_at, after.live_at, TURN_SECONDS) or is_much_later(
        before.refused_at, after.refused_at, NOTE_SECONDS
    )


def is_much_later(before: float | None, after: float | None, seconds: float) -> bool:
    return after is not None and (before is None or after >= before + seconds)
