"""The state of the quota, as `ops` shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from shared.rate_limit.ledger import Ledger, used
from shared.rate_limit.windows import Window


@dataclass(frozen=True)
class WindowState:
    """`used` of `limit` requests in the last `seconds`, reserved requests included."""

    limit: int
    seconds: int
    used: int


@dataclass(frozen=True)
class QuotaState:
    """`live_at` is the last live request; `holders` instances hold `reserved` requests. Times are the store's."""

    windows: tuple[WindowState, ...]
    cooldown_until: datetime | None
    live_at: datetime | None
    holders: int
    reserved: int


def state_of(ledger: Ledger, windows: Sequence[Window], now: float) -> QuotaState:
    cooldown = ledger.cooldown
    return QuotaState(
        tuple(WindowState(window.limit, window.seconds, used(ledger, window, now)) for window in windows),
        cooldown_until=instant(cooldown.until) if cooldown and cooldown.until > now else None,
        live_at=None if ledger.live_at is None else instant(ledger.live_at),
        holders=len(ledger.reservations),
        reserved=sum(reservation.requests for reservation in ledger.reservations.values()),
    )


def instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
