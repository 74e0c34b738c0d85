"""How far the change feed is behind: stored changes that have not been published yet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from ops.reasons import FEED_WAITS
from ops.screen import duration, many
from ops.target_system import TargetSystem
from ops.verdict import Failed, Skipped
from shared.feed.outbox import Outbox
from shared.settings import feed_settings

# A change is published right after it is stored, or else by a sync. After this time, two syncs have tried.
LATE_AFTER = timedelta(minutes=10)


@dataclass(frozen=True)
class FeedStatus:
    """records: how many have unpublished changes. oldest: since when the oldest waits, None if none does."""

    records: int
    oldest: datetime | None

    def is_late(self, now: datetime) -> bool:
        return self.oldest is not None and now - self.oldest > LATE_AFTER

    def said(self, now: datetime) -> str:
        if self.oldest is None:
            return "all changes are published"
        age = duration(max(0.0, (now - self.oldest).total_seconds()))
        return f"changes of {many(self.records, 'record')} wait, the oldest for {age}"


def feed_status(target: TargetSystem, now: datetime) -> FeedStatus | None:
    """Return None if the feed is off. Raises SettingsError and StoreUnavailable."""
    if feed_settings(target.environ).mode == "off":
        return None
    return FeedStatus(*Outbox(target.system.documents(), lambda: now).lag())


def check_feed(target: TargetSystem, now: Callable[[], datetime]) -> str:
    """Check that stored changes are published. Raises Failed and Skipped."""
    at = now()
    found = feed_status(target, at)
    if found is None:
        raise Skipped("the change feed is off")
    if found.is_late(at):
        raise Failed(f"{found.said(at)}: {FEED_WAITS.means}", FEED_WAITS.remedy)
    return found.said(at)
