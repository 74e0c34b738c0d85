"""How many requests a lane may reserve now, and when it may reserve the next one."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from shared.rate_limit.ledger import Cooldown, Lane, Ledger, Reservation, used, used_live
from shared.rate_limit.windows import Window, added, counting

# One request in this many stays free for the first live event after a quiet time.
KEPT_PART = 100

# Background work may borrow this fraction of the reserve at once, and again after the same fraction of the window.
TRICKLE_PARTS = 20

# If background work got less than it requested within this time, live requests leave it half of its share: a flood of
# events (replayed deliveries, for example) cannot stop it. Its schedule starts it every few minutes.
SHORT_SECONDS = 900.0

# How often a refusal is noted.
NOTE_SECONDS = SHORT_SECONDS / 4

# The time at which a bucket holds another request is rounded up, so that float rounding never makes it slightly less.
ROUNDING_SECONDS = 0.001

# After a cooldown, the probe is alone for this long. DrChrono refuses at once, so silence means it accepted.
PROBE_SECONDS = 2.0


def available(ledger: Ledger, windows: Sequence[Window], lane: Lane, now: float, share: float) -> int:
    """Return how many requests `lane` may reserve. `share` is the part of each window open to background work."""
    cooldown = ledger.cooldown
    if cooldown is not None and now < cooldown.until:
        return 0
    count = max(0, min(_available_in(ledger, window, lane, now, share) for window in windows))
    return min(1, count) if cooldown is not None and not cooldown.probed else count


def free_at(ledger: Ledger, windows: Sequence[Window], lane: Lane, now: float, share: float) -> float:
    """Return the first time at which `lane` may reserve, if nothing else happens; `now` if it may already."""
    times = {now, ledger.cooldown.until if ledger.cooldown else now}
    for window in windows:
        ends = (window.slot(reservation.until) for reservation in ledger.reservations.values())
        times |= {window.free_at(slot) for slot in {*ledger.sent.get(window.seconds, {}), *ends}}
        times |= {_next_loan_at(window, slot) for slot in ledger.borrowed.get(window.seconds, {})}
        if window.burst is not None:
            times |= set(_refill_times(ledger, window, lane, now, share))
        if ledger.live_at is not None:
            times.add(ledger.live_at + window.seconds)
        if ledger.refused_at is not None:
            times.add(ledger.refused_at + SHORT_SECONDS)
    later = sorted(time for time in times if time >= now)
    # Capacity only grows with time, so bisection finds the first time. (The exception: returned loans may reduce it
    # slightly. The result then still has capacity and follows a time without, but may not be the first.)
    first = bisect_left(later, True, key=lambda time: available(ledger, windows, lane, time, share) > 0)
    return later[min(first, len(later) - 1)]


def with_reservation(
    ledger: Ledger,
    windows: Sequence[Window],
    asked: Mapping[Lane, int],
    *,
    instance: str,
    number: int,
    until: float,
    now: float,
    share: float,
) -> tuple[Ledger, dict[Lane, int]]:
    """Reserve as much of `asked` as is available, live first. Return the new ledger and the requests per lane.

    No cap per instance: an instance asks for its recent demand, so the first one doesn't take more than it needs, and
    capacity held back for others would be wasted if none came.
    """
    granted: dict[Lane, int] = {}
    for lane in Lane:
        count = min(asked.get(lane, 0), available(ledger, windows, lane, now, share))
        granted[lane] = count
        if not count:
            continue
        if lane is Lane.BACKGROUND:
            ledger = _with_loan(ledger, windows, count, now, share)
        reservation = Reservation(number, sum(granted.values()), until, granted[Lane.LIVE])
        probe = ledger.cooldown and Cooldown(now + PROBE_SECONDS, probed=True)
        ledger = replace(ledger, reservations={**ledger.reservations, instance: reservation}, cooldown=probe)
    if ledger.cooldown is None and granted[Lane.BACKGROUND] < asked.get(Lane.BACKGROUND, 0):
        ledger = replace(ledger, refused_at=now)
    return ledger, granted


def _available_in(ledger: Ledger, window: Window, lane: Lane, now: float, share: float) -> int:
    left = window.limit - used(ledger, window, now)
    if lane is Lane.LIVE:
        count = left if not _refused_lately(ledger, now) else min(left, _left_to_live(ledger, window, now, share))
    else:
        count = sum(_background(ledger, window, left, now, share))
    if window.burst is None:
        return count
    return min(count, _in_bucket(ledger, window, now) - _kept_in_bucket(ledger, window, lane, now, share))


def _left_to_live(ledger: Ledger, window: Window, now: float, share: float) -> int:
    """Return what live requests may still use while background work needs half of its share."""
    return window.limit - _at_least_one(window.limit, share) // 2 - used_live(ledger, window, now)


def _background(ledger: Ledger, window: Window, left: int, now: float, share: float) -> tuple[int, int]:
    """Return how many of the `left` requests background work may take outright, and how many it may borrow.

    It borrows from the reserve after a window's length without live events, and only as a trickle. What is borrowed
    then becomes free again as a trickle, too: a live event after a quiet time waits seconds, not for the end of a
    window that was used up at its beginning.
    """
    reserve = window.limit - _at_least_one(window.limit, share)
    if not reserve or _live_lately(ledger, window, now):
        return max(0, left - min(reserve, max(0, _left_to_live(ledger, window, now, share)))), 0
    if window.burst is not None:
        return left, 0  # requests through a small bucket already become free as a trickle
    borrowed = counting(ledger.borrowed, window, now)
    kept = min(window.limit // KEPT_PART, reserve)
    own = min(max(0, left - max(0, reserve - sum(borrowed.values()))), max(0, left - kept))
    lately = sum(count for slot, count in borrowed.items() if now < _next_loan_at(window, slot))
    loan = max(0, math.ceil(reserve / TRICKLE_PARTS) - lately)
    return own, max(0, min(left - own - kept, loan))


def _with_loan(ledger: Ledger, windows: Sequence[Window], count: int, now: float, share: float) -> Ledger:
    borrowed = {}
    for window in windows:
        own, _ = _background(ledger, window, window.limit - used(ledger, window, now), now, share)
        borrowed[window.seconds] = added(ledger.borrowed, window, {now: max(0, count - own)})
    return replace(ledger, borrowed=borrowed)


def _live_lately(ledger: Ledger, window: Window, now: float) -> bool:
    return ledger.live_at is not None and now < ledger.live_at + window.seconds


def _next_loan_at(window: Window, slot: int) -> float:
    """When requests borrowed in `slot` no longer delay the next loan."""
    return window.start(slot) + window.seconds / TRICKLE_PARTS


def _refused_lately(ledger: Ledger, now: float) -> bool:
    return ledger.refused_at is not None and now < ledger.refused_at + SHORT_SECONDS


def _at_least_one(limit: int, share: float) -> int:
    """Background work may always use one request, even of a limit of 1."""
    return max(1, math.floor(limit * share))


def _in_bucket(ledger: Ledger, window: Window, now: float) -> int:
    """Return the least that the bucket holds: for each earlier time, what was taken since less the refill since.

    The refill is counted from the latest time at which the requests of a slot can have arrived. Intervals longer than
    the window need no check: the window's limit is exactly the refill of its length.
    """
    taken, least = 0, window.bucket
    for slot, count in _latest_first(ledger, window, now):
        taken += count
        refill = max(0.0, now - window.arrived_at(slot)) * window.limit / window.seconds
        least = min(least, math.floor(window.bucket + refill) - taken)
    return least


def _refill_times(ledger: Ledger, window: Window, lane: Lane, now: float, share: float) -> Iterator[float]:
    """Yield, for each interval of `_in_bucket`, when it leaves a request for `lane`."""
    kept = _kept_in_bucket(ledger, window, lane, now, share)
    taken = 0
    for slot, count in _latest_first(ledger, window, now):
        taken += count
        missing = max(0, taken + 1 + kept - window.bucket)
        yield window.arrived_at(slot) + missing * window.seconds / window.limit + ROUNDING_SECONDS


def _kept_in_bucket(ledger: Ledger, window: Window, lane: Lane, now: float, share: float) -> int:
    """What background work leaves in the bucket while live events come, so that they need not wait for a refill."""
    if lane is Lane.LIVE or not _live_lately(ledger, window, now):
        return 0
    return window.bucket - _at_least_one(window.bucket, share)


def _latest_first(ledger: Ledger, window: Window, now: float) -> list[tuple[int, int]]:
    """Return slots and their requests, the latest first; a reservation counts in the slot of its last moment."""
    slots = Counter(counting(ledger.sent, window, now))
    for reservation in ledger.reservations.values():
        slots[window.slot(reservation.until)] += reservation.requests
    return sorted(slots.items(), reverse=True)
