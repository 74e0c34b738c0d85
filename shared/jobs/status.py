"""What programs that read the copy may rely on: one document `sync_status/<kind>`.

complete_until: the copy has every change made before then that DrChrono's lists show; None until this is known.
pending, oldest_pending: how many entries of the kind are in the work queue, and since when. problem: {reason, since},
why the kind cannot be brought up to date, or None. coverage: whose records these are; None until known. last_full_pass:
when the last complete listing began, which finds records that were deleted without an event. count: the records that
are not deleted, counted once an hour. The other fields (counted_at, written_at) are private to this module.

A document is written at most once a minute, in the transaction that changes its checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.documents import Transaction
from shared.drchrono.kinds import KINDS, Kind
from shared.errors import DeletionsHeld
from shared.jobs import claims
from shared.jobs.checkpoint import Checkpoint
from shared.jobs.checkpoints import status_path
from shared.jobs.run import Parts
from shared.records.coverage import Coverage

WRITTEN_AFTER = timedelta(minutes=1)
COUNTED_AFTER = timedelta(hours=1)  # a count costs a read for every thousand records


@dataclass(frozen=True)
class KindState:
    """The state of a kind, from which its status is derived. held_since: since when its deletions are held."""

    kind: Kind
    checkpoint: Checkpoint
    held_since: datetime | None
    coverage: Coverage


def publish(parts: Parts, kind: Kind, change: Callable[[Checkpoint], Checkpoint] = lambda old: old) -> KindState:
    """Change the checkpoint of the kind, and publish its status in the same transaction. Return the state."""
    now = parts.now()
    # The queue is read after the checkpoint, because another run may list records and queue them in between.
    known = parts.checkpoints.get(kind.name)
    pending = parts.queue.pending(kind.name)
    held_since = parts.absences.held_since(kind)
    count = _counted(parts, kind, now)
    coverage = parts.coverage.of(kind)
    claimable = [known]

    def changing(old: Checkpoint) -> Checkpoint:
        changed = change(old)
        claimable[:] = [known if changed.complete_at == old.complete_at else changed]
        return changed

    def tell(transaction: Transaction, changed: Checkpoint) -> None:
        before = transaction.get(status_path(kind.name)) or {}
        if _is_within(before.get("written_at"), WRITTEN_AFTER, now):
            return
        claimed = _instant(before.get("complete_until"))
        if kind.changes or kind.whole:
            until = claims.of_listed(claimable[0], pending, claimed)
        else:
            patients = transaction.get(status_path("patients")) or {}
            until = claims.of_children(known, pending, _instant(patients.get("complete_until")), claimed)
        status = {
            "complete_until": until,
            "pending": pending.count,
            "oldest_pending": pending.oldest,
            "problem": _problem(changed, held_since),
            "coverage": None if coverage.asked_at is None else coverage.as_document(),
            "last_full_pass": changed.reconciled_at,
            "written_at": now,
        }
        transaction.set(status_path(kind.name), status | count)

    return KindState(kind, parts.checkpoints.change(kind.name, changing, tell), held_since, coverage)


def _counted(parts: Parts, kind: Kind, now: datetime) -> dict[str, Any]:
    """Return the fields `count` and `counted_at`, counted now or within the last hour."""
    published = parts.checkpoints.status(kind.name)
    if isinstance(published.get("count"), int) and _is_within(published.get("counted_at"), COUNTED_AFTER, now):
        return {name: published[name] for name in ("count", "counted_at")}
    return {"count": parts.records.count_living(kind), "counted_at": now}


def publish_all(parts: Parts) -> list[KindState]:
    """Publish the status of every kind, at the end of a run."""
    return [publish(parts, kind) for kind in KINDS.values()]


def _problem(checkpoint: Checkpoint, held_since: datetime | None) -> dict[str, Any] | None:
    found = checkpoint.problem
    if found is not None:
        return {"reason": found["reason"], "since": found["since"]}
    return {"reason": DeletionsHeld.reason, "since": held_since} if held_since is not None else None


def _instant(value: object) -> datetime | None:
    return value if isinstance(value, datetime) and value.tzinfo is not None else None


def _is_within(value: object, span: timedelta, now: datetime) -> bool:
    return isinstance(value, datetime) and value.tzinfo is not None and timedelta(0) <= now - value < span
