"""What a fetch means for the stored copy, and whether the copy already settles an event. Pure.

The order of this system's fetches decides. DrChrono's `updated_at` guards against older versions, and
`shared.drchrono.lag` says what an answer cannot prove. Two rules keep the copy correct, in whatever order answers
arrive:

- A version that may be older than the copy is either not stored, or stored and fetched again.
- Only a copy that certainly includes an event's change settles the event. Until then, it stays in the work queue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from shared.drchrono.lag import (
    CLOCK_SKEW,
    VERSION_LAG,
    Evidence,
    is_much_newer,
    is_older,
    provable_from,
    proves,
)
from shared.records.storable import META
from shared.webhooks.events import Change


class Outcome(StrEnum):
    """What became of an event or a queue entry."""

    STORED = "stored"
    UNCHANGED = "unchanged"
    STALE = "stale"
    COVERED = "covered"
    GONE = "gone"
    DEFERRED = "deferred"


class Verdict(StrEnum):
    """What to do with an observation."""

    STORE = "store"
    UNSURE = "unsure"  # store it, and fetch again: it may be older than what it replaces
    SAME = "same"
    TOMBSTONE = "tombstone"
    LATE = "late"  # a fetch that began later is already stored
    LAGGING = "lagging"  # the API answered with an older state: fetch again


@dataclass(frozen=True)
class Observation:
    """What one fetch saw. began: when the request was sent (UTC). digest: None for a deletion. stated: DrChrono stated
    the deletion (`deleted_flag`); otherwise the record was merely absent.
    """

    began: datetime
    digest: str | None
    updated_at: str | None = None
    stated: bool = False


@dataclass(frozen=True)
class Copy:
    """What is known of the stored copy. events_until: every change up to this instant is included. deliveries: the
    latest webhook deliveries that it settled. doubted_until: the copy may be older than the version it replaced, until
    a fetch that begins at this time or later shows the same; None if it was never in doubt.
    """

    fetched_at: datetime
    events_until: datetime
    digest: str | None
    updated_at: str | None
    deleted: bool
    deliveries: tuple[str, ...] = ()
    doubted_until: datetime | None = None

    @property
    def evidence(self) -> Evidence:
        """A tombstone names no version, because it cannot be an outdated one."""
        return Evidence(self.events_until, None if self.deleted else self.updated_at)


def copy_of(document: Mapping[str, Any] | None) -> Copy | None:
    """Return the copy from a stored document, of which only `_sync` and `updated_at` are needed.

    Return None if there is no document, or if this system did not write it. The next fetch replaces such a document.
    """
    if document is None:
        return None
    meta: Any = document.get(META)
    try:
        return Copy(
            fetched_at=_instant(meta["fetched_at"]),
            events_until=_instant(meta["events_until"]),
            digest=meta["digest"],
            updated_at=document.get("updated_at"),
            deleted=meta["deleted"] is True,
            deliveries=tuple(meta.get("deliveries", ())),
            doubted_until=_instant(meta["doubted_until"]) if "doubted_until" in meta else None,
        )
    except (KeyError, TypeError, AttributeError):
        return None


def _instant(value: object) -> datetime:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise TypeError("not an instant")
    return value


def judge(copy: Copy | None, observation: Observation) -> Verdict:
    """Return what to do with an observation of a record that has this copy."""
    deletion = observation.digest is None
    if copy is None:
        return Verdict.TOMBSTONE if deletion else Verdict.STORE
    late = observation.began <= copy.fetched_at
    if deletion:
        return _judge_deletion(copy, observation, late=late)
    newer = is_older(copy.updated_at, observation.updated_at)
    if late:
        # The later fetch was answered by an older replica. This observation is the newer version.
        return Verdict.STORE if newer and not copy.deleted else Verdict.LATE
    recent = observation.began < provable_from(copy.fetched_at)
    if copy.deleted:
        # A replica may still show the record from before the deletion.
        return Verdict.LAGGING if recent else Verdict.STORE
    if observation.digest == copy.digest:
        return Verdict.SAME
    if is_older(observation.updated_at, copy.updated_at):
        return Verdict.LAGGING if observation.began - copy.fetched_at < VERSION_LAG else Verdict.STORE
    return Verdict.UNSURE if recent and not newer else Verdict.STORE


def doubted_until(copy: Copy | None, verdict: Verdict, began: datetime) -> datetime | None:
    """Return the earliest start of a fetch that can prove the content that a fetch begun at `began` showed.

    Return None if that fetch proved it itself. The time is set when the content is stored. Fetches in between do not
    change it.
    """
    if copy is None:
        return None
    if verdict is Verdict.UNSURE:
        return provable_from(copy.fetched_at)
    doubted = verdict is Verdict.SAME and copy.doubted_until is not None and began < copy.doubted_until
    return copy.doubted_until if doubted else None


def _judge_deletion(copy: Copy, observation: Observation, *, late: bool) -> Verdict:
    if copy.deleted:
        return Verdict.SAME
    if late:
        return Verdict.LATE
    if not observation.stated and observation.began < provable_from(copy.fetched_at):
        # The record was seen so recently that the replica may not have it yet.
        return Verdict.LAGGING
    return Verdict.TOMBSTONE


def already_settled(change: Change, copy: Copy | None) -> Outcome | None:
    """Return whether the event needs no request, and why."""
    if copy is None:
        return None
    if change.has_delivery_id and change.delivery in copy.deliveries:
        return Outcome.COVERED
    if change.deletes:
        return Outcome.COVERED if copy.deleted else None
    if proves(copy.evidence, change.received_at, change.updated_at):
        return Outcome.COVERED
    return Outcome.UNCHANGED if is_much_newer(copy.updated_at, change.updated_at) else None


def shares_fetch(change: Change, copy: Copy) -> bool:
    """Return whether the copy was fetched after the event was received and is no older than the version that the event
    names.

    Then the confirming fetch after the lag, which is needed anyway, covers both events.
    """
    since = copy.fetched_at - CLOCK_SKEW >= change.received_at
    return since and not change.deletes and not is_older(copy.updated_at, change.updated_at)
