"""Times as DrChrono writes them: ISO 8601 without offset, in the practice's zone (seen in recorded exchanges)."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

# Newer Debian images keep the old names in the separate package tzdata-legacy.
_MODERN_NAMES = {
    "US/Eastern": "America/New_York",
    "US/Central": "America/Chicago",
    "US/Mountain": "America/Denver",
    "US/Pacific": "America/Los_Angeles",
}


class LocalTime:
    """Convert instants to the practice's local texts and back. Raises ValueError for an unknown zone."""

    def __init__(self, zone: str) -> None:
        try:
            self.zone = ZoneInfo(zone)
        except ZoneInfoNotFoundError:
            try:
                self.zone = ZoneInfo(_MODERN_NAMES.get(zone, zone))
            except ZoneInfoNotFoundError:
                raise ValueError(f"unknown time zone {zone!r}") from None
        self.name = zone

    def text(self, instant: float) -> str:
        """Return `2026-03-24T11:02:33`, to the second, as the service does."""
        return datetime.fromtimestamp(instant, self.zone).replace(tzinfo=None, microsecond=0).isoformat()

    def day(self, instant: float) -> date:
        return datetime.fromtimestamp(instant, self.zone).date()

    def instant(self, text: str, *, offset_allowed: bool) -> float:
        """Return the instant that a `since` names.

        Raises ValueError if the text is unreadable, or has an offset where none is allowed.
        """
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            return moment.replace(tzinfo=self.zone).timestamp()
        if not offset_allowed:
            raise ValueError("a time without offset is expected")
        return moment.timestamp()


def utc_text(instant: float) -> str:
    return datetime.fromtimestamp(instant, UTC).isoformat()
