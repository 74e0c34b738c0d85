"""The clock of this machine. Whatever decides takes it as an argument."""

from __future__ import annotations

from datetime import datetime, timezone


def utc_now() -> datetime:
    return datetime.now(timezone.utc)
