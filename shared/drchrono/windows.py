"""Windows of days: appointments are listed in date ranges of bounded length."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta


def date_windows(first: date, last: date, days: int) -> Iterator[tuple[str, str]]:
    """`first` to `last` cut into ranges of at most `days` days, oldest first.

    Both ends of each range belong to it, as in DrChrono's `date_range`; no day is in two. Dates as `YYYY-MM-DD`.
    """
    if days < 1:
        raise ValueError("a window has at least one day")
    while first <= last:
        # Counted from the end that is left, so that no date past `last` is computed.
        end = first + timedelta(days=min(days - 1, (last - first).days))
        yield first.isoformat(), end.isoformat()
        if end == last:
            return
        first = end + timedelta(days=1)


def days_in(window: tuple[str, str]) -> int:
    """How many days a range has, both ends counted. Raises ValueError unless it is two dates in order."""
    first, last = map(date.fromisoformat, window)
    if last < first:
        raise ValueError("a window ends before it begins")
    return (last - first).days + 1
