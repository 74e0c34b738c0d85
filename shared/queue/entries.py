"""Entries of the work queue: their fields, how two entries of one target merge, and when to try again. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from functools import cached_property

from shared.drchrono.ids import document_id
from shared.drchrono.lag import Evidence, is_older, proves
from shared.errors import (
    BadRequest,
    DeletionsHeld,
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

MOST_DELIVERIES = 20  # enough to trace an event by hand; bounds the list in a flood of events

FIRST_RETRY = timedelta(seconds=10)
LONGEST_RETRY = timedelta(hours=1)
HOPELESS_RETRY = timedelta(days=1)  # a person must act first; a newer event makes the entry due at once
BEHIND_RETRY = timedelta(minutes=1)  # between two fetches while DrChrono still shows an old version
TOKEN_RETRY = timedelta(minutes=1)  # without a usable token, an attempt costs no request


def _reasons(error: type[SyncError]) -> set[str]:
    return {error.reason}.union(*map(_reasons, error.__subclasses__()))


# Why an entry is in the queue: the reason of the error that deferred it, or one of these.
_OTHER_REASONS = {"asked", "lag", "confirm", "follows", "backfill", "absent", "review", "malformed"}
REASONS = tuple(sorted(_reasons(SyncError) | _OTHER_REASONS))

# Reasons of entries whose record was absent from an answer. A single read decides whether it is deleted.
ABSENT = ("absent", DeletionsHeld.reason)


class Priority(IntEnum):
    """Lower values come first. CONFIRM: fetched, but a second fetch must prove the change. RETRY: failed before; comes
    last, so that it does not delay the others.
    """

    EVENT = 0
    CONFIRM = 3
    CHILDREN = 5
    BACKFILL = 9
    RETRY = 10


@dataclass(frozen=True)
class Target:
    """What is out of date: the record `id` of `kind`, or the list of `kind` of one `patient` or `appointment`."""

    kind: str
    id: str
    by: str = "id"

    @cached_property
    def key(self) -> str:
        """The name of the entry's document."""
        name = document_id(self.id)
        return f"{self.kind}:{name}" if self.by == "id" else f"{self.kind}:{self.by}:{name}"


@dataclass(frozen=True)
class Entry:
    """One target that is out of date.

    first_seen, last_seen: when its first and last event were received. The entry is done when the copy holds every
    change until `last_seen`. updated_at: the newest version that an event named. deletes: the last event announced a
    deletion. lease_until: the end of the lease of the worker that claimed it. absent_since: when a single read, sent
    late enough to be conclusive, did not find the record. unstorable: Firestore cannot hold the record, so the copy may
    hold nothing of it.
    """

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
    absent_since: datetime | None = None
    unstorable: bool = False


def merge(old: Entry | None, new: Entry) -> Entry:
    """Return one entry for both. It keeps a worker's lease: on completion, the worker detects the newer event."""
    if old is None:
        return new
    newest = max(old, new, key=lambda entry: entry.last_seen)
    other = new if newest is old else old
    return replace(
        old,
        reason=new.reason,
        priority=min(old.priority, new.priority),
        first_seen=min(old.first_seen, new.first_seen),
        last_seen=newest.last_seen,
        attempts=max(old.attempts, new.attempts),
        due=old.due if old.lease_until is not None else min(old.due, new.due),
        updated_at=max(filter(None, (old.updated_at, new.updated_at)), default=None),
        # A deletion of an older version than another event names is not the last that happened.
        deletes=newest.deletes and not is_older(newest.updated_at, other.updated_at),
        absent_since=newest.absent_since,
        unstorable=old.unstorable or new.unstorable,
        deliveries=tuple(dict.fromkeys(old.deliveries + new.deliveries))[-MOST_DELIVERIES:],
    )


def is_done(entry: Entry, evidence: Evidence) -> bool:
    """Return whether `evidence` proves every event of the entry."""
    return proves(evidence, entry.last_seen, entry.updated_at)


def attempted(error: SyncError) -> bool:
    """Return whether DrChrono answered about the target. Attempts that quota or token prevented do not count."""
    return not isinstance(error, QuotaExhausted | Throttled | TokenError)


def priority_after(error: SyncError, entry: Entry) -> int:
    """Return the entry's next priority. An entry whose own request failed goes behind those not tried yet."""
    return int(Priority.RETRY) if attempted(error) and not isinstance(error, LookAgain) else entry.priority


def due_after(error: SyncError, attempts: int, now: datetime, random: Callable[[], float]) -> datetime:
    """Return when to try again after `error`, failure number `attempts` (from 0). random: uniform in [0, 1)."""
    if isinstance(error, QuotaExhausted | Throttled):
        return error.until
    if isinstance(error, LookAgain):
        return max(error.due, now)
    if isinstance(error, TokenMissing | TokenRevoked):
        return now + TOKEN_RETRY
    if isinstance(error, DeletionsHeld):
        # A person has to decide. Until then, the spread retries find out whether the records are back.
        return now + LONGEST_RETRY * (1 + 23 * random())
    if isinstance(error, Forbidden | RecordTooLarge | BadRequest):
        return now + HOPELESS_RETRY
    growing: timedelta = min(FIRST_RETRY * 2 ** min(attempts, 16), LONGEST_RETRY)
    return now + growing * (0.5 + random())


def absent_since(error: SyncError, entry: Entry) -> datetime | None:
    """Return `Entry.absent_since` after a failed attempt. While deletions are held, an absence proves nothing."""
    if isinstance(error, LookAgain):
        return error.absent_since
    return None if isinstance(error, DeletionsHeld) else entry.absent_since


def of_event(
    change: Change, reason: str, due: datetime, *, attempts: int = 0, priority: Priority = Priority.EVENT
) -> Entry:
    """Return the entry of an event."""
    return Entry(
        target=Target(change.kind, change.id),
        reason=reason,
        priority=priority,
        first_seen=change.received_at,
        last_seen=change.received_at,
        due=due,
        attempts=attempts,
        updated_at=change.updated_at,
        deletes=change.deletes,
        deliveries=(change.delivery,),
    )
