"""Entries of the work queue `sync_pending`: their shape, how two of one target merge, and when to try again. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from functools import cached_property
from typing import Any

from shared.drchrono.ids import document_id, id_of_document
from shared.drchrono.kinds import KINDS
from shared.drchrono.lag import Evidence, proves
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

MOST_DELIVERIES = 20  # enough to trace an event by hand; the list must not grow with a storm

FIRST_RETRY = timedelta(seconds=10)
LONGEST_RETRY = timedelta(hours=1)
HOPELESS_RETRY = timedelta(days=1)  # nothing changes until somebody acts; a newer event makes it due at once
TOKEN_RETRY = timedelta(minutes=1)  # costs no request while the token is dead


def _reasons(error: type[SyncError]) -> set[str]:
    return {error.reason}.union(*map(_reasons, error.__subclasses__()))


# Why an entry may be there: something was refused, or it was put there to be looked at.
_OTHER_REASONS = {"asked", "lag", "confirm", "follows", "backfill", "absent", "review", "malformed"}
REASONS = tuple(sorted(_reasons(SyncError) | _OTHER_REASONS))

# Of an entry whose record was not shown, and waits for the single read that decides.
ABSENT = ("absent", DeletionsHeld.reason)


class Priority(IntEnum):
    """Lower comes first. CONFIRM: what was fetched, and is fetched once more to be certain. RETRY: what failed before,
    and must not keep the rest from being done.
    """

    EVENT = 0
    CONFIRM = 3
    CHILDREN = 5
    BACKFILL = 9
    RETRY = 10


@dataclass(frozen=True)
class Target:
    """What to bring up to date: the record `id` of `kind`, or the list of `kind` of a `patient` or `appointment`."""

    kind: str
    id: str
    by: str = "id"

    @cached_property
    def key(self) -> str:
        """The name of its document."""
        name = document_id(self.id)
        return f"{self.kind}:{name}" if self.by == "id" else f"{self.kind}:{self.by}:{name}"


@dataclass(frozen=True)
class Entry:
    """first_seen, last_seen: when the first and the last of the events it stands for were received: it is done when
    everything that changed until `last_seen` is in the copy. updated_at: the newest version that an event named.
    deletes: the last event announced a deletion. lease_until: until then one worker has it. absent_since: when a single
    read, sent late enough to be believed, did not find the record. unstorable: Firestore cannot hold the record, so
    nothing of it may be in the copy.
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
    """The entry that stands for both. A worker's lease is kept: it sees the newer event when it is done."""
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
        absent_since=newest.absent_since,
        unstorable=old.unstorable or new.unstorable,
        deliveries=tuple(dict.fromkeys(old.deliveries + new.deliveries))[-MOST_DELIVERIES:],
    )


def is_done(entry: Entry, evidence: Evidence) -> bool:
    """Whether a look at the target that proves this much leaves nothing to be done for the entry."""
    return proves(evidence, entry.last_seen, entry.updated_at)


def attempted(error: SyncError) -> bool:
    """Whether a request was answered: what the quota or the token held back was never tried."""
    return not isinstance(error, QuotaExhausted | Throttled | TokenError)


def priority_after(error: SyncError, entry: Entry) -> int:
    """What failed for a reason of its own goes behind what has not been tried."""
    return int(Priority.RETRY) if attempted(error) and not isinstance(error, LookAgain) else entry.priority


def due_after(error: SyncError, attempts: int, now: datetime, random: Callable[[], float]) -> datetime:
    """When to try again after `error`, the `attempts`-th failure (from 0). random: uniform in [0, 1)."""
    if isinstance(error, QuotaExhausted | Throttled):
        return error.until
    if isinstance(error, LookAgain):
        return max(error.due, now)
    if isinstance(error, TokenMissing | TokenRevoked):
        return now + TOKEN_RETRY
    if isinstance(error, DeletionsHeld):
        # Most wait for a person; some find out whether the records are there again.
        return now + LONGEST_RETRY * (1 + 23 * random())
    if isinstance(error, Forbidden | RecordTooLarge | BadRequest):
        return now + HOPELESS_RETRY
    growing: timedelta = min(FIRST_RETRY * 2 ** min(attempts, 16), LONGEST_RETRY)
    return now + growing * (0.5 + random())


def absent_since(error: SyncError, entry: Entry) -> datetime | None:
    """What a failed attempt leaves of `Entry.absent_since`. Where deletions are held, the first look was worthless."""
    if isinstance(error, LookAgain):
        return error.absent_since
    return None if isinstance(error, DeletionsHeld) else entry.absent_since


def of_event(
    change: Change, reason: str, due: datetime, *, attempts: int = 0, priority: Priority = Priority.EVENT
) -> Entry:
    """The entry of an event that is not settled yet."""
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
        "absent_since": entry.absent_since,
        "unstorable": entry.unstorable,
    }


def from_document(key: str, data: Mapping[str, Any], now: datetime) -> Entry | None:
    """The entry in the document `key`. One that cannot be read stands for "look at this target, whatever happened up to
    now"; None where not even the target can be told.
    """
    try:
        return _read(data)
    except (KeyError, TypeError, ValueError, AttributeError):
        target = target_of(key)
        return None if target is None else Entry(target, "malformed", Priority.EVENT, now, now, now)


def target_of(key: str) -> Target | None:
    """The target that is stored under `key`, or None where it is none."""
    kind, _, rest = key.partition(":")
    by, colon, owner = rest.partition(":")
    if kind not in KINDS or not rest:
        return None
    if colon and by in ("patient", "appointment"):
        return Target(kind, id_of_document(owner), by)
    return Target(kind, id_of_document(rest))


def _read(data: Mapping[str, Any]) -> Entry:
    times = {name: data[name] for name in ("first_seen", "last_seen", "due")}
    lease_until, absent_since = data["lease_until"], data.get("absent_since")
    updated_at = data["updated_at"]
    given = [value for value in (lease_until, absent_since) if value is not None]
    if not all(map(_is_instant, [*times.values(), *given])):
        raise TypeError
    if data["kind"] not in KINDS or not isinstance(updated_at, str | None):
        raise ValueError
    return Entry(
        target=Target(kind=data["kind"], id=str(data["id"]), by=str(data["by"])),
        reason=str(data["reason"]),
        priority=Priority(data["priority"]),
        attempts=int(data["attempts"]),
        updated_at=updated_at,
        deletes=data["deletes"] is True,
        deliveries=tuple(str(one) for one in data["deliveries"]),
        lease_until=lease_until,
        absent_since=absent_since,
        unstorable=data.get("unstorable") is True,
        **times,
    )


def _is_instant(value: object) -> bool:
    return isinstance(value, datetime) and value.tzinfo is not None
