"""Permission to send DrChrono a request, shared by every instance through one document, `sync_state/quota`.

An instance leases permits in batches and hands them out from memory. The batch follows its demand (`quota.wanted`), so
it asks about once in the life of a lease, and a lease lives the longer the more instances there are: together they
write about once a second. One that has nothing to do does nothing; what it did not spend lapses, and counts as spent.

How the promise of `shared.rate_limit.ledger` is kept:
- Spent late: a permit is good for the life of its lease, by its holder's clock from when the document was read.
- Clocks differ: spent times are written at their latest and read at their earliest (`shared.rate_limit.clock`).
- Killed with permits in hand, or the answer to a commit lost: they count as spent at the end of the lease.
- The store fails: `acquire` raises StoreUnavailable, even with permits in hand once they are due to be looked after.
  Nobody sends uncounted requests; the caller defers, as it does for a store that cannot take the record either.
- A 429 although the count was right (another program uses the application, the limit was lowered): `throttled` voids
  every lease. A holder looks at least every LOOK_SECONDS whether its lease is still there. At the end one request goes
  alone; if nothing bad is heard of it the others follow by the ordinary count. They need no ramp: batches begin at one
  and double, and what the count says has by then been free for as long as DrChrono asked for.
- Live first: permits leased for live requests are not spent on background ones; the other way round they are.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from typing import TypeVar

from shared.documents import Data, Documents, Transaction
from shared.errors import QuotaExhausted, StoreUnavailable
from shared.log import log
from shared.rate_limit import clock as clocks
from shared.rate_limit import ledger as quota
from shared.rate_limit.clock import Reckoning, Stamp
from shared.rate_limit.ledger import Brake, Lane, Lease, Ledger, Window

K = TypeVar("K")
L = TypeVar("L")

QUOTA = "sync_state/quota"

# Longer waits are for the caller to defer. Instances that share a small rest get their turn within this.
LONGEST_WAIT_SECONDS = 3.0

# A holder of permits looks so often whether there is a brake; with the time a read takes it obeys within a second.
LOOK_SECONDS = 0.75

# Of n instances with leases each asks about every n times this: 1.3 writes a second, where Firestore advises about one.
TURN_SECONDS = 0.75
SHORTEST_TURN_SECONDS = 1.0
LONGEST_TURN_SECONDS = 10.0

# A lease lives for a turn and this: the answer to a commit may be late.
COMMIT_SECONDS = 1.0

# A refused live request may ask again so soon: it must not wait for its instance's turn.
LIVE_PAUSE_SECONDS = 0.5

STATE_LOG_SECONDS = 60.0


@dataclass(frozen=True)
class WindowState:
    """`used` of `limit` requests in the last `seconds`, leased permits included."""

    limit: int
    seconds: int
    used: int


@dataclass(frozen=True)
class QuotaState:
    """For people: `live_at` is the last live request; `holders` are instances that hold `held` permits."""

    windows: tuple[WindowState, ...]
    braked_until: datetime | None
    live_at: datetime | None
    holders: int
    held: int


@dataclass
class _Hand:
    """The permits of one lease. Times are by this instance's own clock."""

    version: int
    left: dict[Lane, int]
    leased_at: float
    until: float
    looked_at: float
    spent: dict[Lane, list[float]] = field(default_factory=lambda: {lane: [] for lane in Lane})


@dataclass(frozen=True)
class _Refusal:
    """Not all of what was asked for. Times are by this instance's own clock.

    free_at: when the document has the next permit. again_at: when to see whether others gave some back before that.
    """

    asked: int
    free_at: float
    again_at: float


@dataclass(frozen=True)
class _Exchange:
    """What one transaction did. `clock` is this instance's, right after the document was read."""

    ledger: Ledger
    known: Reckoning
    version: int
    wrote: bool
    asked: dict[Lane, int]
    granted: dict[Lane, int]
    clock: float
    life_seconds: float

    @property
    def early(self) -> float:
        return self.clock + self.known.earliest


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
        """`instance` names this process among all others that ever were: it must not be inherited by a fork."""
        self._documents = documents
        self._windows = windows
        self._share = background_share
        self._now = now
        self._sleep = sleep
        self._instance = instance
        self._lock = threading.Lock()
        self._known: Reckoning | None = None
        self._hand: _Hand | None = None
        self._refused: dict[Lane, _Refusal] = {}
        self._brake_until = 0.0
        self._brake_unsaid = False
        self._logged_at = 0.0

    def acquire(self, lane: Lane, *, wait_seconds: float = LONGEST_WAIT_SECONDS) -> None:
        """One permit: one request, to be sent at once.

        Waits at most `wait_seconds`. Raises QuotaExhausted with the time when there will be one, StoreUnavailable.
        """
        deadline = self._clock() + wait_seconds
        while (refusal := self._take(lane)) is not None:
            clock = self._clock()
            if refusal.again_at > deadline:
                raise QuotaExhausted(_instant(refusal.free_at))
            self._sleep(max(refusal.again_at - clock, 0.0))

    def throttled(self, until: datetime) -> None:
        """DrChrono answered 429: no instance sends anything before `until`. Never raises.

        If the store cannot be told now, this instance stops all the same, and tells it with its next request.
        """
        with self._lock:
            clock = self._clock()
            stop = min(until.timestamp(), clock + quota.LONGEST_BRAKE_SECONDS)
            if stop <= self._brake_until + LOOK_SECONDS:
                return  # the other requests that were under way are refused, too, and all name the same time
            self._brake_until, self._brake_unsaid = stop, True
            with contextlib.suppress(StoreUnavailable):
                self._exchange({})
            log("quota.braked", "WARNING", seconds=round(stop - clock, 1))

    def state(self) -> QuotaState:
        """What the document says now; nothing is written. Raises StoreUnavailable."""
        with self._lock:
            ledger, early = self._read()
        shift = self._clock() - early
        brake = ledger.brake
        return QuotaState(
            tuple(WindowState(each.limit, each.seconds, quota.used(ledger, each, early)) for each in self._windows),
            braked_until=_instant(brake.until + shift) if brake and brake.until > early else None,
            live_at=None if ledger.live_at is None else _instant(ledger.live_at + shift),
            holders=len(ledger.leases),
            held=sum(lease.permits for lease in ledger.leases.values()),
        )

    def _clock(self) -> float:
        return self._now().timestamp()

    def _take(self, lane: Lane) -> _Refusal | None:
        """A permit (None), or why there is none."""
        if not self._lock.acquire(timeout=LONGEST_WAIT_SECONDS):
            raise StoreUnavailable("the quota document is slow to answer: defer the request")
        try:
            clock = self._clock()
            if clock < self._brake_until:
                if self._brake_unsaid:
                    self._exchange({})
                return _Refusal(1, self._brake_until, self._brake_until)
            if self._spend(lane):
                return None
            refusal = self._refused.get(lane)
            if refusal is not None:
                if clock < refusal.again_at:
                    return refusal
                if self._hand is None and not self._has_room(lane, refusal.asked):
                    return self._refused[lane]
            self._exchange({lane: 1})
            if self._spend(lane):
                return None
            # Granted all the same, but the lease was over before the answer came: the store is slow. Ask again.
            return self._refused.get(lane, _Refusal(1, clock, clock))
        finally:
            self._lock.release()

    def _spend(self, lane: Lane) -> bool:
        """Take one permit out of the hand, if there is one and the lease is known to stand."""
        hand = self._hand
        if hand is None:
            return False
        purse = Lane.LIVE if lane is Lane.LIVE and hand.left.get(Lane.LIVE) else Lane.BACKGROUND
        if not hand.left.get(purse):
            return False
        if self._clock() >= hand.looked_at + LOOK_SECONDS and not self._look(hand):
            return False
        clock = self._clock()
        if clock >= hand.until:
            return False
        hand.left[purse] -= 1
        hand.spent[lane].append(clock)
        return True

    def _look(self, hand: _Hand) -> bool:
        """Whether the lease is still in the document: a brake voids it."""
        begun_at = self._clock()
        ledger, _ = self._read()
        hand.looked_at = begun_at
        lease = ledger.leases.get(self._instance)
        if lease is None or lease.version != hand.version:
            hand.left = {}
        return bool(hand.left)

    def _has_room(self, lane: Lane, asked: int) -> bool:
        """Whether it is worth a transaction to ask once more: all who were refused ask when something comes free."""
        ledger, early = self._read()
        if quota.room(ledger, self._windows, lane, early, self._share):
            return True
        self._refused[lane] = self._refusal(lane, asked, ledger, early)
        return False

    def _read(self) -> tuple[Ledger, float]:
        """What the document says, and the least that document time can be; nothing is written."""
        data = self._documents.get(QUOTA)
        clock = self._clock()
        if data is None:
            return Ledger(), clock
        ledger, stamp = _decoded(data)
        self._known = clocks.after_reading(self._known, stamp, clock)
        early = clock + self._known.earliest
        return quota.pruned(ledger, self._windows, early), early

    def _exchange(self, least: Mapping[Lane, int]) -> None:
        """Tell what was spent, give back the rest, and lease anew: at least `least`, if it can be had."""
        if self._hand is not None:
            self._hand.left = {}  # given back, whether the answer to that comes or not
        done = self._documents.transact(lambda transaction: self._work(transaction, least))
        self._known, self._brake_unsaid, self._hand = done.known, False, None
        if any(done.granted.values()):
            until = done.clock + done.life_seconds
            self._hand = _Hand(done.version, done.granted, leased_at=done.clock, until=until, looked_at=done.clock)
        brake = done.ledger.brake
        if brake is not None and not brake.probed:
            self._brake_until = done.clock + brake.until - done.early
        for lane, count in done.asked.items():
            self._refused.pop(lane, None)
            if done.granted[lane] < count:
                self._refused[lane] = self._refusal(lane, count, done.ledger, done.early)
        if done.wrote and done.clock >= self._logged_at + STATE_LOG_SECONDS:
            self._logged_at = done.clock
            self._log_state(done)

    def _work(self, transaction: Transaction, least: Mapping[Lane, int]) -> _Exchange:
        """The transaction. It may run several times, so it changes nothing but the document."""
        data = transaction.get(QUOTA)
        clock = self._clock()
        if data is None:
            before, version, known = Ledger(), 1, clocks.founded(1, clock)
        else:
            before, stamp = _decoded(data)
            version, known = stamp.version + 1, clocks.after_reading(self._known, stamp, clock)

        ledger = quota.pruned(self._settled(before, known), self._windows, clock + known.earliest)
        if known.unsure and (ledger.blank or known.alone_for(clock) >= clocks.ALONE_SECONDS):
            ledger = quota.shifted(ledger, self._windows, -known.earliest)
            known = clocks.founded(version, clock)
        early, late = clock + known.earliest, clock + known.latest

        if self._brake_unsaid:
            ledger = quota.braked(ledger, self._windows, late + self._brake_until - clock)
        life_seconds = _turn_seconds(len(ledger.leases) + 1) + COMMIT_SECONDS
        asked = self._asked(least, clock, life_seconds)
        if asked.get(Lane.LIVE):
            ledger = replace(ledger, live_at=late)
        ledger, granted = quota.with_lease(
            ledger,
            self._windows,
            asked,
            instance=self._instance,
            version=version,
            until=late + life_seconds,
            early=early,
            share=self._share,
        )

        wrote = known.founded == version or _worth_writing(before, ledger, self._instance)
        if wrote:
            known = clocks.after_writing(known, version, clock)
            transaction.set(QUOTA, _encoded(ledger, known.stamp(version, clock)))
        return _Exchange(ledger, known, version, wrote, asked, granted, clock, life_seconds)

    def _settled(self, ledger: Ledger, known: Reckoning) -> Ledger:
        if self._hand is None:
            return quota.settled(ledger, self._windows, self._instance, version=0, times=())
        times = [time + known.latest for spent in self._hand.spent.values() for time in spent]
        return quota.settled(ledger, self._windows, self._instance, self._hand.version, times)

    def _asked(self, least: Mapping[Lane, int], clock: float, life_seconds: float) -> dict[Lane, int]:
        asked = dict(least)
        for lane in Lane:
            needed = 0
            if self._hand is not None:
                needed = quota.wanted(len(self._hand.spent[lane]), clock - self._hand.leased_at, life_seconds)
            refusal = self._refused.get(lane)
            if lane in least and refusal is not None and clock < refusal.again_at + LONGEST_TURN_SECONDS:
                needed = max(needed, refusal.asked)  # still as hungry
            if needed:
                asked[lane] = max(needed, asked.get(lane, 0))
        return asked

    def _refusal(self, lane: Lane, asked: int, ledger: Ledger, early: float) -> _Refusal:
        others = ledger.leases.keys() - {self._instance}
        pause = LIVE_PAUSE_SECONDS if lane is Lane.LIVE else _turn_seconds(len(others) + 1)
        free_in = max(pause, quota.free_at(ledger, self._windows, lane, early, self._share) - early)
        clock = self._clock()
        return _Refusal(asked, clock + free_in, clock + (pause if others else free_in))

    def _log_state(self, done: _Exchange) -> None:
        """The window that is nearest to its limit."""
        uses = [(window, quota.used(done.ledger, window, done.early)) for window in self._windows]
        window, count = max(uses, key=lambda use: use[1] / use[0].limit)
        log("quota.state", quota_left=window.limit - count, share=round(count / window.limit, 3))


def _turn_seconds(holders: int) -> float:
    return min(max(SHORTEST_TURN_SECONDS, holders * TURN_SECONDS), LONGEST_TURN_SECONDS)


def _worth_writing(before: Ledger, after: Ledger, instance: str) -> bool:
    """A refusal says nothing new, unless it is the first of a live request for a while."""
    if instance in before.leases or instance in after.leases or after.brake != before.brake:
        return True
    return after.live_at is not None and (before.live_at is None or after.live_at >= before.live_at + TURN_SECONDS)


def _encoded(ledger: Ledger, stamp: Stamp) -> Data:
    return {
        "stamp": asdict(stamp),
        "spent": _keyed(ledger.spent, str),
        "leases": {instance: asdict(lease) for instance, lease in ledger.leases.items()},
        "lent": _keyed(ledger.lent, str),
        "live_at": ledger.live_at,
        "brake": asdict(ledger.brake) if ledger.brake else None,
    }


def _decoded(data: Data) -> tuple[Ledger, Stamp]:
    ledger = Ledger(
        spent=_keyed(data["spent"], int),
        leases={instance: Lease(**lease) for instance, lease in data["leases"].items()},
        lent=_keyed(data["lent"], int),
        live_at=data["live_at"],
        brake=Brake(**data["brake"]) if data["brake"] else None,
    )
    return ledger, Stamp(**data["stamp"])


def _keyed(counts: Mapping[K, Mapping[K, int]], key: Callable[[K], L]) -> dict[L, dict[L, int]]:
    """A document's keys are texts, a ledger's are numbers."""
    return {key(seconds): {key(slot): count for slot, count in slots.items()} for seconds, slots in counts.items()}


def _instant(clock: float) -> datetime:
    return datetime.fromtimestamp(clock, timezone.utc)
