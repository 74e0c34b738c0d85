"""When to send a request again: after a 429, and whether to repeat a failed request now. Decides only; never waits."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

from shared.errors import BulkFailed, MalformedAnswer, ServerError, SyncError, Unreachable

# If neither header nor text states a time: the guide's default ("Rate Limits").
DEFAULT_SECONDS = 60.0
# Bounds of the stated time. DrChrono's longest window is an hour. A wrong header must not stop the sync for days, and
# an early return costs one request an hour.
LEAST_SECONDS, MOST_SECONDS = 1.0, 3600.0
# The header's date and the text are rounded to whole seconds.
MARGIN_SECONDS = 1.0

# One repetition is enough for a short disturbance. Longer ones are deferred to the work queue.
MOST_ATTEMPTS = 2
LEAST_PAUSE_SECONDS, MOST_PAUSE_SECONDS = 0.5, 2.0

_SECONDS = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?)\s*")
# DrChrono's text (support page "API error codes"): "Request was throttled. Expected available in 2710.0 seconds."
_AVAILABLE_IN = re.compile(r"available in\s{1,9}([0-9]+(?:\.[0-9]*)?)\s{1,9}second", re.IGNORECASE)


def throttled_until(now: datetime, *, retry_after: str | None, text: str) -> datetime:
    """Return when requests are allowed again after a 429 at `now` (UTC).

    retry_after: the header, in seconds or as an HTTP date (RFC 9110, 10.2.3). The live service sends none.
    text: the body, in which the live service states the seconds.
    """
    seconds = _header_seconds(retry_after, now)
    if seconds is None:
        found = _AVAILABLE_IN.search(text)
        seconds = float(found[1]) if found else DEFAULT_SECONDS
    return now + timedelta(seconds=min(max(seconds, LEAST_SECONDS), MOST_SECONDS) + MARGIN_SECONDS)


def _header_seconds(header: str | None, now: datetime) -> float | None:
    if header is None:
        return None
    found = _SECONDS.fullmatch(header)
    if found:
        return float(found[1])
    try:
        moment = parsedate_to_datetime(header)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        return (moment - now).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def pause_before_repeat(error: SyncError, *, attempt: int, writes: bool, jitter: float) -> float | None:
    """Return the seconds to wait before sending the request once more; None if it is not to be repeated here.

    attempt: how often it was sent. jitter: a random number from 0 to 1, so that instances do not repeat together.
    A write is repeated only after `Unreachable`, which means that none of it was sent. A bulk list that DrChrono gave
    up must be begun again instead.
    """
    repeatable = (Unreachable,) if writes else (Unreachable, ServerError, MalformedAnswer)
    if attempt >= MOST_ATTEMPTS or not isinstance(error, repeatable) or isinstance(error, BulkFailed):
        return None
    return LEAST_PAUSE_SECONDS + (MOST_PAUSE_SECONDS - LEAST_PAUSE_SECONDS) * jitter
