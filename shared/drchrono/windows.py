"""Date windows: appointments are listed in date ranges of bounded length."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta


def date_windows(first: date, last: date, days: int) -> Iterator[tuple[str, str]]:
    """Yield ranges of at most `days` days that cover `first` to `last`, oldest first, without overlap.

    Both ends belong to a range, as in DrChrono's `date_range`. Dates are `YYYY-MM-DD`. Raises ValueError.
    """
    if days < 1:
        raise ValueError("a window has at least one day")
    while first <= last:
        # Never computes a date after `last`, which could exceed `date.max`.
        end = first + timedelta(days=min(days - 1, (last - first).days))
        yield first.isoformat(), end.isoformat()
        if end == last:
            return
        first = end + timedelta(days=1)


def days_in(window: tuple[str, str]) -> int:
    """Return the number of days in a range, both ends included. Raises ValueError unless it is two dates in order."""
    first, last = map(date.fromisoformat, window)
    if last < first:
        raise ValueError("a window ends before it begins")
    return (last - first).days + 1
