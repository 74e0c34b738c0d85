"""What all instances together sent and may still send: the content of the shared document, as values.

The promise: no interval of a window's length sees more than `limit` requests arrive, however DrChrono counts them. A
sliding window asks exactly this. A fixed window, wherever it begins, and a bucket of `limit` that refills evenly allow
at least as much (in t seconds at most ceil(t / seconds) times the limit arrive, which is less than a full bucket and
its refill).

So requests that aren't known to be unsent count as sent. A reservation counts in full until its holder reports what it
sent. If the holder never reports, all of it counts as sent at the last possible moment.

`now` is the store's time when the ledger was read. The true time is the same or later, so no request is taken for
older than it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from shared.rate_limit.windows import Counts, Window, added, counting


class Lane(StrEnum):
    """Who sends: `live` is webhook events and writes; `background` is backfill, sync, reconciliation, child lists."""

    LIVE = "live"
    BACKGROUND = "background"


@dataclass(frozen=True)
class Reservation:
    """`requests` that one instance may send until `until`, `live` of them for the live lane. `number` tells the
    instance's reservations apart.
    """

    number: int
    requests: int
    until: float
    live: int = 0


@dataclass(frozen=True)
class Cooldown:
    """No request before `until`, then a single probe. Once `probed`, the others follow at `until`."""

    until: float
    probed: bool = False


@dataclass(frozen=True)
class Ledger:
    """sent: requests that were sent. live: those of them that were live. reservations: per instance, what it may still
    send. borrowed: requests that background work took from the reserve for live events.

    live_at: when a live request was last asked for. refused_at: when background work last got less than it asked for.
    """

    sent: Counts = field(default_factory=dict)
    live: Counts = field(default_factory=dict)
    reservations: Mapping[str, Reservation] = field(default_factory=dict)
    borrowed: Counts = field(default_factory=dict)
    live_at: float | None = None
    refused_at: float | None = None
    cooldown: Cooldown | None = None


Times = Iterable[float] | Mapping[float, int]


def with_sent(ledger: Ledger, windows: Sequence[Window], times: Times, live: Times = ()) -> Ledger:
    """Add one request at each of `times`, or as many as they map to. `live`: those of them that were live."""
    counted, counted_live = Counter(times), Counter(live)
    return replace(
        ledger,
        sent={window.seconds: added(ledger.sent, window, counted) for window in windows},
        live={window.seconds: added(ledger.live, window, counted_live) for window in windows},
    )


def settled(
    ledger: Ledger, windows: Sequence[Window], instance: str, number: int, times: Times, live: Times = ()
) -> Ledger:
    """Replace the reservation of `instance` by the requests that it sent, at `times`; the rest is free again.

    `times`, and `live` among them, belong to reservation `number`. If the ledger holds another number, the instance
    never got that reservation (the commit succeeded, its response was lost) and sent nothing of it. If the ledger holds
    none, the reservation expired and was counted then.
    """
    reservation = ledger.reservations.get(instance)
    if reservation is None:
        return ledger
    others = {name: other for name, other in ledger.reservations.items() if name != instance}
    ledger = replace(ledger, reservations=others)
    return with_sent(ledger, windows, times, live) if reservation.number == number else ledger


def pruned(ledger: Ledger, windows: Sequence[Window], now: float) -> Ledger:
    """Count expired reservations as sent, and drop requests that no longer count."""
    expired = {name for name, reservation in ledger.reservations.items() if reservation.until <= now}
    ledger = _with_last_moments(ledger, windows, [ledger.reservations[name] for name in expired])
    cooldown = ledger.cooldown
    return replace(
        ledger,
        sent={window.seconds: counting(ledger.sent, window, now) for window in windows},
        live={window.seconds: counting(ledger.live, window, now) for window in windows},
        borrowed={window.seconds: counting(ledger.borrowed, window, now) for window in windows},
        reservations={name: other for name, other in ledger.reservations.items() if name not in expired},
        cooldown=None if cooldown and cooldown.probed and cooldown.until <= now else cooldown,
    )


def used(ledger: Ledger, window: Window, now: float) -> int:
    """Return how many requests count against `window`."""
    return sum(counting(ledger.sent, window, now).values()) + sum(
        reservation.requests for reservation in _counting(ledger, window, now)
    )


def used_live(ledger: Ledger, window: Window, now: float) -> int:
    """Return how many of them are live."""
    return sum(counting(ledger.live, window, now).values()) + sum(
        reservation.live for reservation in _counting(ledger, window, now)
    )


def _counting(ledger: Ledger, window: Window, now: float) -> Iterator[Reservation]:
    return (one for one in ledger.reservations.values() if now < window.free_at(window.slot(one.until)))


def with_cooldown(ledger: Ledger, windows: Sequence[Window], until: float) -> Ledger:
    """Stop all requests until `until`. Every reservation ends, and all of it counts as sent at its last moment."""
    if ledger.cooldown and not ledger.cooldown.probed and ledger.cooldown.until >= until:
        return ledger
    sent = _with_last_moments(ledger, windows, list(ledger.reservations.values()))
    return replace(sent, reservations={}, cooldown=Cooldown(until))


def _with_last_moments(ledger: Ledger, windows: Sequence[Window], reservations: Sequence[Reservation]) -> Ledger:
    times: Counter[float] = Counter()
    live: Counter[float] = Counter()
    for reservation in reservations:
        times[reservation.until] += reservation.requests
        live[reservation.until] += reservation.live
    return with_sent(ledger, windows, times, live)
