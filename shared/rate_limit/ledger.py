"""DrChrono's request limits: how they are written, and the arithmetic of sharing them (guide, "Rate Limits").

What is promised: no interval of a window's length ever sees more than `limit` requests arrive, however they are
counted. That is what a sliding window asks; a fixed window, wherever it begins, and a bucket of `limit` that fills
evenly are then kept too (in t seconds arrive at most ceil(t / seconds) times the limit, which is less than a full
bucket and what flows into it).

So a request counts for the window's length plus the time it may have been on its way, and what is not known to be
unspent counts as spent: a lease counts in full until its holder tells what it used, and as used at its last moment if
it never does. Times here are seconds of document time (`shared.rate_limit.clock`); `early` is the least that it can
be now.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

UNIT_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}

# A window is counted in this many slots: a request counts up to one slot longer than it must, which costs 0.4 % on
# average and keeps the document small whatever the limit is.
SLOTS = 120

# From the permit to DrChrono's counting of the request. A connection is set up in a few tenths of a second; only a lost
# packet takes longer. It costs a quota per minute 1.6 %, and more than half of one per second, which is there to stop
# bursts: longer windows decide what can be done in total.
IN_FLIGHT_SECONDS = 1.0

# Of a window that is lent to background work, this part stays for the first live event after a quiet time.
KEPT_PART = 100

# The reserve is lent in so many parts, each for its part of the window.
TRICKLE_PARTS = 20

# What flows into a bucket is named as full a little late, so that no rounding makes it a little less than one.
ROUNDING_SECONDS = 0.001

# After a brake one request goes alone; as long as this nothing else does. A refusal comes at once, so no news is good.
PROBE_SECONDS = 2.0

# `Retry-After` is text from outside: a mistake in it must not stop the system for ever. No window is longer than a day.
LONGEST_BRAKE_SECONDS = 86400.0


class Lane(StrEnum):
    """Who asks: `live` is webhook events and writes, `background` is backfill, sync, reconcile and child lists."""

    LIVE = "live"
    BACKGROUND = "background"


@dataclass(frozen=True)
class Window:
    """At most `limit` requests in any `seconds`.

    burst: the size of a bucket that fills evenly with `limit` in `seconds`, where it is smaller than the limit.
    """

    limit: int
    seconds: int
    burst: int | None = None

    def slot(self, time: float) -> int:
        return math.floor(time * SLOTS / self.seconds)

    def start(self, slot: int) -> float:
        return slot * self.seconds / SLOTS

    def free_at(self, slot: int) -> float:
        """When the requests of `slot` no longer count."""
        return self.start(slot + 1) + self.seconds + IN_FLIGHT_SECONDS


def parse_windows(written: str) -> tuple[Window, ...]:
    """`100/minute`, `10/second,500/hour` or `100/minute burst 10` as windows, shortest first.

    Raises ValueError with what is wrong; the caller names the setting and shows a right value.
    """
    windows = []
    for part in written.split(","):
        found = re.fullmatch(r"\s*([0-9]{1,9})\s*/\s*(second|minute|hour|day)(?:\s+burst\s+([0-9]{1,9}))?\s*", part)
        if found is None or int(found[1]) == 0 or found[3] == "0":
            raise ValueError("is not a list of numbers per second, minute, hour or day")
        limit, burst = int(found[1]), int(found[3] or found[1])
        windows.append(Window(limit, UNIT_SECONDS[found[2]], burst if burst < limit else None))
    windows.sort(key=lambda window: window.seconds)
    if len({window.seconds for window in windows}) < len(windows):
        raise ValueError("names the same unit twice")
    return tuple(windows)


@dataclass(frozen=True)
class Lease:
    """`permits` that one instance may spend until `until`. `version` is the write that granted them."""

    version: int
    permits: int
    until: float


@dataclass(frozen=True)
class Brake:
    """No request before `until`; then one alone (`probed`: it went, and `until` is when others may follow)."""

    until: float
    probed: bool = False


@dataclass(frozen=True)
class Ledger:
    """What all instances together have done.

    spent: per window (its seconds) and slot, the requests made. leases: per instance, what it may still spend.
    lent: per window and slot, the permits that background work had of the live lane's reserve. live_at: the last live
    request.
    """

    spent: Mapping[int, Mapping[int, int]] = field(default_factory=dict)
    leases: Mapping[str, Lease] = field(default_factory=dict)
    lent: Mapping[int, Mapping[int, int]] = field(default_factory=dict)
    live_at: float | None = None
    brake: Brake | None = None

    @property
    def blank(self) -> bool:
        """Whether no time in it matters any more."""
        return not any(self.spent.values()) and not self.leases and self.brake is None


def with_spent(ledger: Ledger, windows: Sequence[Window], times: Iterable[float]) -> Ledger:
    """One more request for each of `times`."""
    times = list(times)
    spent = {window.seconds: _added(ledger.spent, window, times) for window in windows}
    return replace(ledger, spent=spent)


def _added(counts: Mapping[int, Mapping[int, int]], window: Window, times: Iterable[float]) -> dict[int, int]:
    slots = Counter(counts.get(window.seconds, {}))
    slots.update(window.slot(time) for time in times)
    return dict(slots)


def _counting(counts: Mapping[int, Mapping[int, int]], window: Window, early: float) -> dict[int, int]:
    slots = counts.get(window.seconds, {})
    return {slot: count for slot, count in slots.items() if early < window.free_at(slot)}


def settled(ledger: Ledger, windows: Sequence[Window], instance: str, version: int, times: Iterable[float]) -> Ledger:
    """Without the lease of `instance`: what it spent counts when it was spent, the rest is given back.

    `times` belong to the lease that was granted by `version`. If another one is in the ledger, its grant never
    reached the instance (the commit happened, its answer was lost): nothing of it was spent. If none is there, it
    lapsed and was counted then.
    """
    lease = ledger.leases.get(instance)
    if lease is None:
        return ledger
    leases = {name: other for name, other in ledger.leases.items() if name != instance}
    return with_spent(replace(ledger, leases=leases), windows, times if lease.version == version else ())


def pruned(ledger: Ledger, windows: Sequence[Window], early: float) -> Ledger:
    """Without what is over: lapsed leases are spent, and requests that no longer count are forgotten."""
    lapsed = [lease for lease in ledger.leases.values() if lease.until <= early]
    ledger = with_spent(ledger, windows, (lease.until for lease in lapsed for _ in range(lease.permits)))
    return replace(
        ledger,
        spent={window.seconds: _counting(ledger.spent, window, early) for window in windows},
        lent={window.seconds: _counting(ledger.lent, window, early) for window in windows},
        leases={name: lease for name, lease in ledger.leases.items() if lease not in lapsed},
        brake=None if ledger.brake and ledger.brake.probed and ledger.brake.until <= early else ledger.brake,
    )


def used(ledger: Ledger, window: Window, early: float) -> int:
    """How many requests count against `window`."""
    return sum(_counting(ledger.spent, window, early).values()) + sum(
        lease.permits for lease in ledger.leases.values() if early < window.free_at(window.slot(lease.until))
    )


def room(ledger: Ledger, windows: Sequence[Window], lane: Lane, early: float, share: float) -> int:
    """How many permits `lane` may have now. `share` is what of each window background work may use."""
    if ledger.brake is not None:
        if early < ledger.brake.until:
            return 0
        if not ledger.brake.probed:
            return min(1, _room(ledger, windows, lane, early, share))
    return _room(ledger, windows, lane, early, share)


def _room(ledger: Ledger, windows: Sequence[Window], lane: Lane, early: float, share: float) -> int:
    rooms = []
    for window in windows:
        left = window.limit - used(ledger, window, early)
        rooms.append(left if lane is Lane.LIVE else sum(_background_room(ledger, window, left, early, share)))
        if window.burst is not None:
            rooms.append(_bucket_room(ledger, window, early) - _kept_in_bucket(ledger, window, lane, early, share))
    return max(0, min(rooms))


def _bucket_room(ledger: Ledger, window: Window, early: float) -> int:
    """What the bucket surely holds: whatever was taken since any moment, less what has flowed in since then.

    Requests may have come as late as their slot and the way allow, so the flow counts from there. Intervals longer
    than the window need no look: the window's own limit is what flows in during its length.
    """
    taken, least = 0, window.burst or window.limit
    for slot, count in _taken(ledger, window, early):
        taken += count
        flowed = max(0.0, early - _arrived(window, slot)) * window.limit / window.seconds
        least = min(least, math.floor((window.burst or window.limit) + flowed) - taken)
    return least


def _taken(ledger: Ledger, window: Window, early: float) -> list[tuple[int, int]]:
    """Requests by slot, the latest first, with leases in the slot of their last moment."""
    slots = Counter(_counting(ledger.spent, window, early))
    for lease in ledger.leases.values():
        slots[window.slot(lease.until)] += lease.permits
    return sorted(slots.items(), reverse=True)


def _arrived(window: Window, slot: int) -> float:
    """When the requests of `slot` have surely been counted by DrChrono."""
    return window.start(slot + 1) + IN_FLIGHT_SECONDS


def _bucket_moments(ledger: Ledger, window: Window, lane: Lane, early: float, share: float) -> Iterator[float]:
    """When the bucket will hold one for `lane`, as far as each of its intervals goes."""
    taken, burst = 0, window.burst or window.limit
    for slot, count in _taken(ledger, window, early):
        taken += count
        missing = max(0, taken + 1 + _kept_in_bucket(ledger, window, lane, early, share) - burst)
        yield _arrived(window, slot) + missing * window.seconds / window.limit + ROUNDING_SECONDS


def _kept_in_bucket(ledger: Ledger, window: Window, lane: Lane, early: float, share: float) -> int:
    """What background work leaves in the bucket while live events come. Else the first one waits for a drop or two."""
    burst = window.burst or window.limit
    return (
        burst - max(1, math.floor(burst * share))
        if lane is not Lane.LIVE and _live_lately(ledger, window, early)
        else 0
    )


def _reserve(window: Window, share: float) -> int:
    """What background work leaves for live events. With a limit of 1 that is nothing."""
    return window.limit - max(1, math.floor(window.limit * share))


def _background_room(ledger: Ledger, window: Window, left: int, early: float, share: float) -> tuple[int, int]:
    """Of the permits that are `left`: what background work may have at once, and what it may borrow of the reserve.

    It borrows while nothing live came for a window's length, and only as a trickle, so that what it borrowed also comes
    back as one: a live event after a quiet time waits seconds, not for the end of a window that was used up at its
    beginning.
    """
    reserve = _reserve(window, share)
    if not reserve or _live_lately(ledger, window, early):
        return max(0, left - reserve), 0
    if window.burst is not None:
        return left, 0  # what went through a small bucket comes back as a trickle by itself
    lent = _counting(ledger.lent, window, early)
    kept = min(window.limit // KEPT_PART, reserve)
    own = max(0, left - max(0, reserve - sum(lent.values())))
    lately = sum(count for slot, count in lent.items() if early < _trickles_at(window, slot))
    trickle = max(0, math.ceil(reserve / TRICKLE_PARTS) - lately)
    own = min(own, max(0, left - kept))
    return own, max(0, min(left - own - kept, trickle))


def _live_lately(ledger: Ledger, window: Window, early: float) -> bool:
    return ledger.live_at is not None and early < ledger.live_at + window.seconds


def _trickles_at(window: Window, slot: int) -> float:
    """When what was lent in `slot` no longer holds up the next part."""
    return window.start(slot) + window.seconds / TRICKLE_PARTS


def with_lease(
    ledger: Ledger,
    windows: Sequence[Window],
    asked: Mapping[Lane, int],
    *,
    instance: str,
    version: int,
    until: float,
    early: float,
    share: float,
) -> tuple[Ledger, dict[Lane, int]]:
    """A lease for `instance` of what can be had of `asked`, live first, and how much of each lane that is.

    There is no cap on what one may have of what is left: an instance asks for what it lately spent, so the first to
    come does not take more than it needs, and permits kept ready for others would be lost if none came.
    """
    granted = {}
    for lane in Lane:
        count = min(asked.get(lane, 0), room(ledger, windows, lane, early, share))
        granted[lane] = count
        if not count:
            continue
        if lane is Lane.BACKGROUND:
            ledger = _with_lent(ledger, windows, count, early, share)
        lease = Lease(version, sum(granted.values()), until)
        probe = ledger.brake and Brake(early + PROBE_SECONDS, probed=True)
        ledger = replace(ledger, leases={**ledger.leases, instance: lease}, brake=probe)
    return ledger, granted


def _with_lent(ledger: Ledger, windows: Sequence[Window], count: int, early: float, share: float) -> Ledger:
    lent = {}
    for window in windows:
        left = window.limit - used(ledger, window, early)
        own, _ = _background_room(ledger, window, left, early, share)
        lent[window.seconds] = _added(ledger.lent, window, [early] * (count - own))
    return replace(ledger, lent=lent)


def braked(ledger: Ledger, windows: Sequence[Window], until: float) -> Ledger:
    """DrChrono refuses until `until`: every lease is void, and counts as if all of it was spent at its last moment."""
    if ledger.brake and not ledger.brake.probed and ledger.brake.until >= until:
        return ledger
    times = (lease.until for lease in ledger.leases.values() for _ in range(lease.permits))
    return replace(with_spent(ledger, windows, times), leases={}, brake=Brake(until))


def free_at(ledger: Ledger, windows: Sequence[Window], lane: Lane, early: float, share: float) -> float:
    """The first moment at which `lane` has room if nothing happens until then; `early` if it has now."""
    moments = {early, ledger.brake.until if ledger.brake else early}
    for window in windows:
        slots = {*ledger.spent.get(window.seconds, {}), *(window.slot(lease.until) for lease in ledger.leases.values())}
        moments |= {window.free_at(slot) for slot in slots}
        moments |= {_trickles_at(window, slot) for slot in ledger.lent.get(window.seconds, {})}
        if window.burst is not None:
            moments |= set(_bucket_moments(ledger, window, lane, early, share))
        if ledger.live_at is not None:
            moments.add(ledger.live_at + window.seconds)
    later = sorted(moment for moment in moments if moment >= early)
    # Time makes room, so the moment can be looked for by halves. (Where lent permits were given back it may take a
    # little away, too; what is found then has room and follows a moment without, but need not be the first.)
    first = bisect_left(later, True, key=lambda moment: room(ledger, windows, lane, moment, share) > 0)
    return later[min(first, len(later) - 1)]


def shifted(ledger: Ledger, windows: Sequence[Window], seconds: float) -> Ledger:
    """The same with every time `seconds` later (no request gets older by it: slots are rounded up)."""

    def moved(counts: Mapping[int, Mapping[int, int]], window: Window) -> dict[int, int]:
        by = math.ceil(seconds * SLOTS / window.seconds)
        return {slot + by: count for slot, count in counts.get(window.seconds, {}).items()}

    return Ledger(
        spent={window.seconds: moved(ledger.spent, window) for window in windows},
        leases={name: replace(lease, until=lease.until + seconds) for name, lease in ledger.leases.items()},
        lent={window.seconds: moved(ledger.lent, window) for window in windows},
        live_at=None if ledger.live_at is None else ledger.live_at + seconds,
        brake=replace(ledger.brake, until=ledger.brake.until + seconds) if ledger.brake else None,
    )


def wanted(spent: int, elapsed_seconds: float, life_seconds: float) -> int:
    """How many permits to ask for: as many as `life_seconds` take at the late pace, but at most twice as many as last.

    So a steady user asks once in the life of a lease, one that begins doubles with each, and one that has nothing to do
    asks for nothing.
    """
    return min(2 * spent, math.ceil(spent * life_seconds / max(elapsed_seconds, 0.001)))
