"""Entries of `sync_pending`, the one list of what is known to be out of date: their shape, folding and due times."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any

from shared.errors import (
    BadRequest,
    Forbidden,
    LookAgain,
    QuotaExhausted,
    RecordTooLarge,
    SyncError,
    Throttled,
    TokenError,
    TokenMissing,
    TokenRevoked,
)
from shared.webhooks.events import Change

MOST_DELIVERIES = 20  # enough to trace an event by hand; the list must not grow with a storm

FIRST_RETRY = timedelta(seconds=10)
LONGEST_RETRY = timedelta(minutes=15)
HOPELESS_RETRY = timedelta(days=1)  # nothing will change until somebody acts; a newer event makes it due at once
TOKEN_RETRY = timedelta(minutes=1)  # costs no request while the token is dead
LAG_RETRY = timedelta(seconds=20)  # "list data may be several seconds old" (DrChrono's API documentation)


def _reasons(error: type[SyncError]) -> set[str]:
    return {error.reason}.union(*map(_reasons, error.__subclasses__()))


# Why an entry may be there: something was refused, or somebody put it there to be looked at.
REASONS = tuple(sorted(_reasons(SyncError) | {"lag", "empty_list", "follows", "backfill", "absent"}))


class Priority(IntEnum):
    """Lower comes first."""

    EVENT = 0
    CHILDREN = 5
    BACKFILL = 9


@dataclass(frozen=True)
class Target:
    """What to bring up to date: the record `id` of `kind`, or the list of `kind` of a `patient` or `appointment`."""

    kind: str
    id: str
    by: str = "id"

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.id}" if self.by == "id" else f"{self.kind}:{self.by}:{self.id}"


@dataclass(frozen=True)
class Entry:
    """first_seen, last_seen: of the events folded into it. lease_until: until then one worker has it."""

    target: Target
    reason: str
    priority: int
    first_seen: datetime
    last_seen: datetime
    due: datetime
    attempts: int = 0
    updated_at: str | None = None
    deletes: bool = False
    deliveries: tuple[str, ...] = ()
    lease_until: datetime | None = None


def merge(old: Entry | None, new: Entry) -> Entry:
    """The entry after `new` happened to what was there. A worker's lease is left alone: it will see the newer event."""
    if old is None:
        return new
    newest = max(old, new, key=lambda entry: entry.last_seen)
    return replace(
        old,
        reason=new.reason,
        priority=min(old.priority, new.priority),
        first_seen=min(old.first_seen, new.first_seen),
        last_seen=newest.last_seen,
        attempts=max(old.attempts, new.attempts),
        due=old.due if old.lease_until is not None else min(old.due, new.due),
        updated_at=max(filter(None, (old.updated_at, new.updated_at)), default=None),
        deletes=newest.deletes,
        deliveries=tuple(dict.fromkeys(old.deliveries + new.deliveries))[-MOST_DELIVERIES:],
    )


def attempted(error: SyncError) -> bool:
    """Whether a request was answered: what the quota or the token held back was never tried."""
    return not isinstance(error, QuotaExhausted | Throttled | TokenError)


def due_after(error: SyncError, attempts: int, now: datetime, random: Callable[[], float]) -> datetime:
    """When to try again after `error`, the `attempts`-th failure (from 0). random: uniform in [0, 1)."""
    if isinstance(error, QuotaExhausted | Throttled):
        return error.until
    if isinstance(error, TokenMissing | TokenRevoked):
        return now + TOKEN_RETRY
    if isinstance(error, Forbidden | RecordTooLarge | BadRequest):
        return now + HOPELESS_RETRY
    if isinstance(error, LookAgain) and attempts == 0:
        return now + LAG_RETRY
    growing: timedelta = min(FIRST_RETRY * 2 ** min(attempts, 16), LONGEST_RETRY)
    return now + growing * (0.5 + random())


def of_event(change: Change, reason: str, due: datetime, *, attempts: int = 0) -> Entry:
    """The entry of an event that could not be worked off, or that Pub/Sub would not take."""
    return Entry(
        target=Target(change.kind, change.id),
        reason=reason,
        priority=Priority.EVENT,
        first_seen=change.received_at,
        last_seen=change.received_at,
        due=due,
        attempts=attempts,
        updated_at=change.updated_at,
        deletes=change.deletes,
        deliveries=(change.delivery,),
    )


def to_document(entry: Entry) -> dict[str, Any]:
    return {
        "kind": entry.target.kind,
        "id": entry.target.id,
        "by": entry.target.by,
        "reason": entry.reason,
        "priority": entry.priority,
        "first_seen": entry.first_seen,
        "last_seen": entry.last_seen,
        "due": entry.due,
        "attempts": entry.attempts,
        "updated_at": entry.updated_at,
        "deletes": entry.deletes,
        "deliveries": list(entry.deliveries),
        "lease_until": entry.lease_until,
    }


def from_document(data: Mapping[str, Any]) -> Entry:
    return Entry(
        target=Target(kind=data["kind"], id=data["id"], by=data["by"]),
        reason=data["reason"],
        priority=data["priority"],
        first_seen=data["first_seen"],
        last_seen=data["last_seen"],
        due=data["due"],
        attempts=data["attempts"],
        updated_at=data["updated_at"],
        deletes=data["deletes"],
        deliveries=tuple(data["deliveries"]),
        lease_until=data["lease_until"],
    )
