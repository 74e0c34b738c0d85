"""What a fetch means for the stored copy: the order of our own fetches decides, DrChrono's `updated_at` guards.

Replicas of the API may answer with a version that is some seconds old. So a fetch that shows an older `updated_at`
than the copy is not believed, for LAG_LIMIT. After that it is: `updated_at` is local time, and in the hour that
repeats when summer time ends a later edit has an earlier time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from shared.records.storable import META
from shared.webhooks.events import Change

LAG_LIMIT = timedelta(minutes=15)
RETURN_LIMIT = timedelta(minutes=1)  # a record that "comes back" this soon after its 404 is a replica's memory of it
CLOCK_SKEW = timedelta(seconds=1)  # between two instances; Google keeps its clocks within milliseconds


class Outcome(StrEnum):
    """What became of an event or a pending entry."""

    STORED = "stored"
    UNCHANGED = "unchanged"
    STALE = "stale"
    COVERED = "covered"
    GONE = "gone"
    DEFERRED = "deferred"


class Verdict(StrEnum):
    """What to do with what one fetch saw."""

    STORE = "store"
    SAME = "same"
    TOMBSTONE = "tombstone"
    LATE = "late"  # a fetch that began later is already stored
    LAGGING = "lagging"  # the API answered with an older version: look again


@dataclass(frozen=True)
class Observation:
    """What one fetch saw. began: when it was sent (UTC). digest: None for a 404 or an absence."""

    began: datetime
    digest: str | None
    updated_at: str | None = None


@dataclass(frozen=True)
class Copy:
    """What is known of the stored copy. events_until: every event received up to then is in it."""

    fetched_at: datetime
    events_until: datetime
    digest: str | None
    updated_at: str | None
    deleted: bool


def copy_of(document: Mapping[str, Any] | None) -> Copy | None:
    """From a stored document, of which only `_sync` and `updated_at` need have been read."""
    if document is None:
        return None
    meta = document[META]
    return Copy(
        fetched_at=meta["fetched_at"],
        events_until=meta["events_until"],
        digest=meta["digest"],
        updated_at=document.get("updated_at"),
        deleted=meta["deleted"],
    )


def judge(copy: Copy | None, observation: Observation) -> Verdict:
    if copy is not None and observation.began <= copy.fetched_at:
        return Verdict.LATE
    if observation.digest is None:
        return Verdict.SAME if copy is not None and copy.deleted else Verdict.TOMBSTONE
    if copy is None:
        return Verdict.STORE
    age = observation.began - copy.fetched_at
    if copy.deleted:
        returned = is_older(copy.updated_at, observation.updated_at) or age >= RETURN_LIMIT
        return Verdict.STORE if returned else Verdict.LAGGING
    if observation.digest == copy.digest:
        return Verdict.SAME
    if is_older(observation.updated_at, copy.updated_at) and age < LAG_LIMIT:
        return Verdict.LAGGING
    return Verdict.STORE


def is_older(one: object, other: object) -> bool:
    """Whether `one` is before `other`: DrChrono's local strings of one practice, which sort as time does.

    Anything else is neither older nor newer.
    """
    return isinstance(one, str) and isinstance(other, str) and one < other


def already_done(change: Change, copy: Copy | None, synced_at: datetime | None) -> Outcome | None:
    """Whether the event needs no request, and why. synced_at: when the last completed sync of its kind began."""
    if copy is not None:
        if is_older(copy.updated_at, change.updated_at):
            return None
        if change.received_at <= copy.events_until:
            return Outcome.COVERED
        if is_older(change.updated_at, copy.updated_at):
            return Outcome.UNCHANGED
    # A list of changes does not show what was deleted.
    if synced_at is not None and not change.deletes and change.received_at < synced_at - LAG_LIMIT:
        return Outcome.COVERED
    return None
