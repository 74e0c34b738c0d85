"""The instant of an appointment, from DrChrono's local time and the time zone of its doctor. Pure.

`scheduled_time` is the local time of the office, without an offset (recorded exchanges). Offices have no time zone;
doctors have one, under its IANA name or an older one such as `US/Eastern`. When clocks change, two rules apply, as in
calendar programs (RFC 5545, section 3.3.5):

- A time that occurs twice, in autumn, is the first of the two: 01:30 is still daylight saving time. The record does not
  distinguish them.
- A time that does not occur, in spring, is read with the offset before the change: 02:30 is the instant at which
  clocks show 03:30. The interval to earlier appointments stays the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any
from zoneinfo import ZoneInfo

from shared.drchrono.ids import document_id, id_of
from shared.drchrono.kinds import Kind

# The doctor's field that holds the zone.
ZONE = "timezone"

_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
# Excludes other names of the time zone database: `localtime` (this machine's zone), `posixrules`, `right/…`, `Factory`.
_ZONE = re.compile(r"(?!Factory$)[A-Z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}", re.ASCII)


def zone_path(kind: Kind, record: Mapping[str, Any]) -> str | None:
    """Return the path of the doctor whose `timezone` applies to the record's `scheduled_time`; None for other kinds."""
    doctor = id_of(record.get("doctor")) if kind.name == "appointments" else None
    return None if doctor is None else f"doctors/{document_id(doctor)}"


def zone_of(doctor: Mapping[str, Any] | None) -> str:
    """Return the name of a doctor's time zone; empty if it is unknown or not a zone."""
    name = (doctor or {}).get(ZONE)
    return name if isinstance(name, str) and _zone(name) is not None else ""


def scheduled_at(scheduled_time: object, zone: str) -> datetime | None:
    """Return a local time in `zone` as an instant (UTC); None if the text is not a time or the zone is unknown.

    A text with its own offset, which DrChrono has not been seen to send, needs no zone.
    """
    if not isinstance(scheduled_time, str) or not _TIME.fullmatch(scheduled_time):
        return None
    try:
        time = datetime.fromisoformat(scheduled_time)
        if time.tzinfo is None:
            known = _zone(zone)
            if known is None:
                return None
            time = time.replace(tzinfo=known)  # fold=0 implements both rules
        return time.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


def _zone(name: str) -> ZoneInfo | None:
    if not _ZONE.fullmatch(name):
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown zone; not a zone file; a folder
        return None
