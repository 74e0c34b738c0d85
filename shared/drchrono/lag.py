"""How old an answer of DrChrono may be, what it cannot prove for that reason, and when to ask again. Pure.

DrChrono answers from replicas: "list data may be several seconds old" (its API documentation), and of two requests the
later one may meet the older replica. So an answer is a view of some instant between `LONGEST_LAG` before the request
and the answer. It proves every change up to the start of that span, and nothing after it. Whatever uses an absence, an
older version or a deletion asks here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

# Several times what has been seen, so that a slow day stays within it.
LONGEST_LAG = timedelta(seconds=30)

# Between the clocks of two instances. Google keeps its own within milliseconds.
CLOCK_SKEW = timedelta(seconds=1)

# Where an event names a version, an older one is not believed for this long, however late the request was sent. After
# it the older time is the truth: `updated_at` is local time, and goes back when summer time ends.
VERSION_LAG = timedelta(minutes=15)

# How far a later edit can have an earlier `updated_at` when summer time ends.
REPEATED_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Evidence:
    """What one look at a target proves. until: every change made up to this instant (UTC) is in it. updated_at: the
    version that it showed, None for a list, a deletion and a kind without that field.
    """

    until: datetime
    updated_at: str | None = None


def shown_until(began: datetime) -> datetime:
    """The instant up to which the answer to a request that was sent at `began` shows every change."""
    return began - LONGEST_LAG - CLOCK_SKEW


def listed_until(began: datetime) -> datetime:
    """The instant up to which every change is in the copy, after a list that was begun at `began` is stored.

    It is one more lag back than `shown_until`: what a single fetch saw just before a page of the list was read is kept
    in preference to that page, and such a fetch is as old as its own answer.
    """
    return shown_until(shown_until(began))


def provable_from(instant: datetime) -> datetime:
    """When to send a request whose answer shows every change made up to `instant`."""
    return instant + LONGEST_LAG + CLOCK_SKEW


def proves(evidence: Evidence, received_at: datetime, updated_at: str | None) -> bool:
    """Whether the change is shown that an event announced at `received_at`, naming the version `updated_at` if any."""
    if evidence.until < received_at:
        return False
    return not is_older(evidence.updated_at, updated_at) or evidence.until >= received_at + VERSION_LAG


def is_older(one: object, other: object) -> bool:
    """Whether `one` is before `other`: DrChrono's local strings of one practice, which sort as time does.

    Anything else is neither older nor newer. In the hour that repeats, "older" may be the later one.
    """
    return isinstance(one, str) and isinstance(other, str) and one < other


def is_much_newer(one: object, other: object) -> bool:
    """Whether `one` is later than `other` by so much that no change of summer time can be the reason."""
    try:
        return _naive(one) - _naive(other) > REPEATED_HOUR
    except (TypeError, ValueError):
        return False


def _naive(value: object) -> datetime:
    if not isinstance(value, str):
        raise TypeError
    return datetime.fromisoformat(value).replace(tzinfo=None)
