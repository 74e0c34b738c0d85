"""The ledger as the document `sync_state/quota`, written strictly and read leniently.

A document that this module did not write (edited by hand, damaged, of another version) must neither stop the system
permanently nor let it exceed the quota. It reads as the cautious state: every window is used up until the end of the
longest reservation, and the next request is a single probe. That state expires by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from shared.documents import Data
from shared.rate_limit.ledger import Cooldown, Ledger, Reservation
from shared.rate_limit.reservations import LONGEST_LIFE_SECONDS
from shared.rate_limit.windows import Counts, Window

K = TypeVar("K")
L = TypeVar("L")

# `Retry-After` comes from DrChrono. A wrong value must not stop the system permanently. No window exceeds a day.
LONGEST_COOLDOWN_SECONDS = 86400.0

# The limiter writes no time later than this from now. Later times are damage, and might never pass.
LATEST_SECONDS = 60.0

# As `parse_windows` allows.
MOST_REQUESTS = 10**9


class MalformedLedger(Exception):
    """The document is not a ledger. The error contains none of its values."""


def encoded(ledger: Ledger) -> Data:
    """Return the document. Its keys are strings."""
    return {
        "sent": _with_keys(ledger.sent, str),
        "live": _with_keys(ledger.live, str),
        "reservations": {name: asdict(reservation) for name, reservation in ledger.reservations.items()},
        "borrowed": _with_keys(ledger.borrowed, str),
        "live_at": ledger.live_at,
        "refused_at": ledger.refused_at,
        "cooldown": asdict(ledger.cooldown) if ledger.cooldown else None,
    }


def decoded(data: Any, now: float) -> Ledger:
    """Return the ledger of a document that was read at `now`. Raises MalformedLedger."""
    fields = _fields(data, "sent", "live", "reservations", "borrowed", "live_at", "refused_at", "cooldown")
    return Ledger(
        sent=_counts(fields["sent"], now),
        live=_counts(fields["live"], now),
        reservations={
            _text(name): _reservation(value, now) for name, value in _mapping(fields["reservations"]).items()
        },
        borrowed=_counts(fields["borrowed"], now),
        live_at=None if fields["live_at"] is None else _time(fields["live_at"], now + LATEST_SECONDS),
        refused_at=None if fields["refused_at"] is None else _time(fields["refused_at"], now + LATEST_SECONDS),
        cooldown=None if fields["cooldown"] is None else _cooldown(fields["cooldown"], now),
    )


def cautious(windows: Sequence[Window], now: float) -> Ledger:
    """Return the state that a malformed document stands for.

    Holders of a reservation notice within a second that it is gone. Until then they may send, so the windows count as
    used up until the end of any reservation.
    """
    until = now + LONGEST_LIFE_SECONDS
    return Ledger(
        sent={window.seconds: {window.slot(until): window.limit} for window in windows},
        live_at=now,
        cooldown=Cooldown(now),
    )


def _with_keys(counts: Mapping[K, Mapping[K, int]], key: Callable[[K], L]) -> dict[L, dict[L, int]]:
    return {key(seconds): {key(slot): count for slot, count in slots.items()} for seconds, slots in counts.items()}


def _counts(value: Any, now: float) -> Counts:
    counts = {}
    for seconds, slots in _mapping(value).items():
        window = Window(1, _key(seconds, least=1))
        counts[window.seconds] = {_key(slot): _count(count) for slot, count in _mapping(slots).items()}
        if any(window.start(slot) > now + LATEST_SECONDS for slot in counts[window.seconds]):
            raise MalformedLedger
    return counts


def _reservation(value: Any, now: float) -> Reservation:
    fields = _fields(value, "number", "requests", "until", "live")
    return Reservation(
        _count(fields["number"]),
        _count(fields["requests"]),
        _time(fields["until"], now + LATEST_SECONDS),
        _count(fields["live"]),
    )


def _cooldown(value: Any, now: float) -> Cooldown:
    fields = _fields(value, "until", "probed")
    if not isinstance(fields["probed"], bool):
        raise MalformedLedger
    return Cooldown(_time(fields["until"], now + LONGEST_COOLDOWN_SECONDS + LATEST_SECONDS), fields["probed"])


def _fields(value: Any, *names: str) -> Mapping[str, Any]:
    """Return the fields of a mapping that has all `names`. Others are ignored. Raises MalformedLedger."""
    fields = _mapping(value)
    if not fields.keys() >= set(names):
        raise MalformedLedger
    return fields


def _mapping(value: Any) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise MalformedLedger
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise MalformedLedger
    return value


def _key(value: Any, least: int = 0) -> int:
    if not isinstance(value, str) or re.fullmatch(r"[0-9]{1,15}", value) is None or int(value) < least:
        raise MalformedLedger
    return int(value)


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST_REQUESTS:
        raise MalformedLedger
    return value


def _time(value: Any, latest: float) -> float:
    # The comparison is false for NaN.
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= latest:
        raise MalformedLedger
    return float(value)
