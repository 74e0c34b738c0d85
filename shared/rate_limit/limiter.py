"""Permission to send DrChrono a request, shared by all instances through one document, `sync_state/quota`.

An instance reserves requests in batches and grants them from memory. An idle instance does nothing: its unused
reservation expires and counts as sent. `shared.rate_limit.exchange` is the transaction that reports and reserves.

How the limiter keeps the promise of `shared.rate_limit.ledger`:
- One clock: all times in the document are the store's (`Snapshot.read_at`). A read happens between its call and its
  response. So a local time is converted to `read_at` plus the time since the call, which is never too early, and the
  age of a request is measured at `read_at`, which is never too late. The instances' clocks need not agree.
- A request is sent late: a reservation ends a fixed time after the call that read the ledger.
- The instance is killed, or the response to a commit is lost: the reservation counts as sent at its end.
- The store fails: `acquire` raises StoreUnavailable, even with requests reserved, as soon as the reservation must be
  checked. No request is sent uncounted. The caller defers, as it does when the store can't take the record either.
- A 429 despite a correct count (another program uses the application, or DrChrono lowered the limit): `throttled`
  starts a cooldown and ends every reservation. Holders check theirs every CHECK_SECONDS. After the cooldown one request
  probes; if DrChrono accepts it, the others follow by the usual count. They need no ramp: batches start at one and
  double.
- The document is malformed: it counts as used up (`shared.rate_limit.encoding`) and the next transaction rewrites it.
- Live first: background work never sends what was reserved for live requests. Live requests may send either. While
  background work is refused, the live ones leave it half of its share.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from datetime import datetime

from shared.documents import Documents
from shared.errors import QuotaExhausted, StoreUnavailable
from shared.log import log
from shared.rate_limit.capacity import NOTE_SECONDS, available, free_at
from shared.rate_limit.document import LedgerDocument
from shared.rate_limit.encoding import LONGEST_COOLDOWN_SECONDS
from shared.rate_limit.exchange import Exchange, Exchanged, is_much_later
from shared.rate_limit.ledger import Lane, Ledger, used
from shared.rate_limit.reservations import CHECK_SECONDS, HeldReservation, Refusal, turn_seconds
from shared.rate_limit.state import QuotaState, instant, state_of
from shared.rate_limit.windows import Window

# The caller defers longer waits. Instances that share a small remainder get their turn within this time.
LONGEST_WAIT_SECONDS = 3.0

# How soon a refused live request may ask again. It must not wait for its instance's turn.
LIVE_PAUSE_SECONDS = 0.5

STATE_LOG_SECONDS = 60.0


class RateLimiter:
    def __init__(
        self,
        documents: Documents,
        windows: tuple[Window, ...],
        *,
        background_share: float,
        now: Callable[[], datetime],
        sleep: Callable[[float], None],
        instance: str,
    ) -> None:
        """instance: a name that no other process uses, now or later. A forked process needs another one."""
        self._document = LedgerDocument(documents, windows)
        self._exchanges = Exchange(
            documents,
            self._document,
            windows,
            background_share=background_share,
            clock=self._clock,
            instance=instance,
        )
        self._windows = windows
        self._share = background_share
        self._now = now
        self._sleep = sleep
        self._instance = instance
        self._lock = threading.Lock()
        self._held: HeldReservation | None = None
        self._refused: dict[Lane, Refusal] = {}
        self._cooldown_until = 0.0
        self._cooldown_unsaved = False
        self._logged_at = 0.0

    def acquire(self, lane: Lane, *, wait_seconds: float = LONGEST_WAIT_SECONDS) -> None:
        """Take permission for one request, to be sent at once. Wait at most `wait_seconds`.

        Raises QuotaExhausted with the time of the next free request, or StoreUnavailable.
        """
        deadline = self._clock() + wait_seconds
        while (refusal := self._take(lane)) is not None:
            clock = self._clock()
            if refusal.again_at > deadline:
                raise QuotaExhausted(instant(refusal.free_at))
            self._sleep(max(refusal.again_at - clock, 0.0))

    def throttled(self, until: datetime) -> None:
        """Start a cooldown after a 429: no instance sends a request before `until`. Never raises.

        If the store can't be written now, this instance stops and writes the cooldown before its next request.
        """
        with self._lock:
            clock = self._clock()
            end = min(until.timestamp(), clock + LONGEST_COOLDOWN_SECONDS)
            if end <= self._cooldown_until + CHECK_SECONDS:
                return  # other requests that were in flight are refused as well, with the same time
            self._cooldown_until, self._cooldown_unsaved = end, True
            with contextlib.suppress(StoreUnavailable):
                self._exchange({})
            log("quota.cooldown", "WARNING", seconds=round(end - clock, 1))

    def state(self) -> QuotaState:
        """Return what the document says now, without a write. Raises StoreUnavailable."""
        with self._lock:
            read = self._document.read()
        return state_of(read.ledger, self._windows, read.now)

    def _clock(self) -> float:
        return self._now().timestamp()

    def _take(self, lane: Lane) -> Refusal | None:
        """Return None for permission, or why there is none."""
        if not self._lock.acquire(timeout=LONGEST_WAIT_SECONDS):
            raise StoreUnavailable("the quota document responds slowly: defer the request")
        try:
            clock = self._clock()
            if clock < self._cooldown_until:
                if self._cooldown_unsaved:
                    self._exchange({})
                return Refusal(1, self._cooldown_until, self._cooldown_until)
            if self._send(lane):
                return None
            refusal = self._refused.get(lane)
            if refusal is not None:
                if clock < refusal.again_at:
                    return refusal
                if self._held is None and not self._is_worth_asking(lane, refusal.asked):
                    return self._refused[lane]
            self._exchange({lane: 1})
            if self._send(lane):
                return None
            # If nothing was refused, the reservation ended before the response came: the store is slow. Ask again.
            return self._refused.get(lane, Refusal(1, clock, clock))
        finally:
            self._lock.release()

    def _send(self, lane: Lane) -> bool:
        """Take one request of the held reservation, if it has one for `lane` and still stands."""
        held = self._held
        source = held.lane_for(lane) if held else None
        if held is None or source is None:
            return False
        if self._clock() >= held.checked_at + CHECK_SECONDS and not self._check(held):
            return False
        clock = self._clock()
        if clock >= held.until:
            return False
        held.send(lane, source, clock)
        return True

    def _check(self, held: HeldReservation) -> bool:
        """Return whether the reservation is still in the document; a cooldown removes it."""
        called_at = self._clock()
        read = self._document.read()
        held.checked_at = called_at
        reservation = read.ledger.reservations.get(self._instance)
        if reservation is None or reservation.number != held.number:
            held.left = {}
        return bool(held.left)

    def _is_worth_asking(self, lane: Lane, asked: int) -> bool:
        """Return whether to run a transaction; without this read, all refused instances would at the same time."""
        read = self._document.read()
        if read.malformed or available(read.ledger, self._windows, lane, read.now, self._share):
            return True
        if lane is Lane.BACKGROUND and is_much_later(read.ledger.refused_at, read.now, NOTE_SECONDS):
            return True
        self._refused[lane] = self._refusal(lane, asked, read.ledger, read.now)
        return False

    def _exchange(self, least: Mapping[Lane, int]) -> None:
        """Report what was sent, return the rest, and reserve again: at least `least`, if available."""
        if self._held is not None:
            self._held.left = {}  # returned, whether the response comes or not
        unsaved = self._cooldown_until if self._cooldown_unsaved else None
        done = self._exchanges.run(least, self._held, self._refused, cooldown_until=unsaved)
        self._cooldown_unsaved, self._held = False, done.reservation()
        if (until := done.cooldown_until()) is not None:
            self._cooldown_until = until
        for lane, count in done.asked.items():
            self._refused.pop(lane, None)
            if done.granted[lane] < count:
                self._refused[lane] = self._refusal(lane, count, done.ledger, done.read.now)
        if done.wrote and done.clock >= self._logged_at + STATE_LOG_SECONDS:
            self._logged_at = done.clock
            self._log_state(done)

    def _refusal(self, lane: Lane, asked: int, ledger: Ledger, now: float) -> Refusal:
        others = ledger.reservations.keys() - {self._instance}
        pause = LIVE_PAUSE_SECONDS if lane is Lane.LIVE else turn_seconds(len(others) + 1)
        free_in = max(pause, free_at(ledger, self._windows, lane, now, self._share) - now)
        clock = self._clock()
        return Refusal(asked, clock + free_in, clock + (pause if others else min(free_in, NOTE_SECONDS)))

    def _log_state(self, done: Exchanged) -> None:
        """Log the window that is nearest to its limit."""
        uses = [(window, used(done.ledger, window, done.read.now)) for window in self._windows]
        window, count = max(uses, key=lambda use: use[1] / use[0].limit)
        log("quota.state", quota_left=window.limit - count, share=round(count / window.limit, 3))
