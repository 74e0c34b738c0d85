"""How old an answer of DrChrono may be, what it therefore cannot prove, and when to ask again. Pure.

DrChrono answers from replicas: "list data may be several seconds old" (its API documentation), and a later request may
meet an older replica. So an answer shows the state at some instant between `LONGEST_LAG` before the request and the
answer. It proves every change up to the start of that span, and nothing after it. All decisions that depend on an
absence, an older version or a deletion use this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

# Several times the longest lag observed, to include slow days.
LONGEST_LAG = timedelta(seconds=30)

# Between the clocks of two instances. Google keeps its clocks within milliseconds of each other.
CLOCK_SKEW = timedelta(seconds=1)

# If an event names a version, an older one is not accepted for this long, however late the request was sent. After
# that it is accepted: `updated_at` is local time, which goes back when summer time ends.
VERSION_LAG = timedelta(minutes=15)

# By how much the `updated_at` of a later edit can be earlier when summer time ends.
REPEATED_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Evidence:
    """What one fetch of a target proves. until: every change up to this instant (UTC) is included. updated_at: the
    version that the answer showed; None for a list, a deletion and a kind without that field.
    """

    until: datetime
    updated_at: str | None = None


def shown_until(began: datetime) -> datetime:
    """Return the instant up to which the answer to a request that was sent at `began` includes every change."""
    return began - LONGEST_LAG - CLOCK_SKEW


def listed_until(began: datetime) -> datetime:
    """Return the instant up to which every change is in the copy once a list that was begun at `began` is stored.

    It is one lag earlier than `shown_until`. A single fetch from just before a page was read takes precedence over that
    page, and its own answer may be as old as the lag.
    """
    return shown_until(shown_until(began))


def provable_from(instant: datetime) -> datetime:
    """Return the earliest time of a request whose answer includes every change up to `instant`."""
    return instant + LONGEST_LAG + CLOCK_SKEW


def proves(evidence: Evidence, received_at: datetime, updated_at: str | None) -> bool:
    """Return whether the answer includes the change of an event received at `received_at`, which may name a version."""
    if evidence.until < received_at:
        return False
    return not is_older(evidence.updated_at, updated_at) or evidence.until >= received_at + VERSION_LAG


def is_older(one: object, other: object) -> bool:
    """Return whether `one` is before `other`. Both are local times of one practice as DrChrono writes them, which sort
    by time.

    Other values are neither older nor newer. In the hour that repeats, the "older" one may be the later one.
    """
    return isinstance(one, str) and isinstance(other, str) and one < other


def is_much_newer(one: object, other: object) -> bool:
    """Return whether `one` is later than `other` by more than a change of summer time can explain."""
    try:
        return _naive(one) - _naive(other) > REPEATED_HOUR
    except (TypeError, ValueError):
        return False


def _naive(value: object) -> datetime:
    if not isinstance(value, str):
        raise TypeError
    return datetime.fromisoformat(value).replace(tzinfo=None)
