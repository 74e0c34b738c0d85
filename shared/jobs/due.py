"""When a kind is due: its list of changes, its whole list, or a pass over it. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.drchrono.kinds import Kind
from shared.drchrono.lag import provable_from
from shared.jobs.checkpoint import Checkpoint


def has_passed(span: timedelta, since: object, now: datetime) -> bool:
    """Whether `span` has passed since then. True if `since` is not an instant: what was never done is due."""
    return not isinstance(since, datetime) or since.tzinfo is None or now - since >= span


def list_is_due(kind: Kind, checkpoint: Checkpoint, now: datetime) -> bool:
    """Of a kind with a list of changes, or one that is listed whole."""
    if checkpoint.sync is not None or has_passed(timedelta(minutes=kind.sync_minutes), checkpoint.synced_at, now):
        return True
    if checkpoint.complete_at is not None:
        return False
    if kind.whole:
        return True  # a second list proves a first one of several pages
    # The first sync after the backfill makes the kind complete.
    return checkpoint.filled_at is not None and now >= provable_from(checkpoint.filled_at)


def pass_is_due(checkpoint: Checkpoint, patients: Checkpoint, every: timedelta | None, now: datetime) -> bool:
    """Of a kind that is listed by patient. patients: their checkpoint. every: None if only the first pass is wanted."""
    if checkpoint.reconcile is not None:
        return True
    if patients.backfilled_at is None:
        return False  # nobody has asked for a copy yet
    if checkpoint.reconciled_at is None or checkpoint.complete_at is None:
        return True  # a second pass proves a first one over lists of several pages
    return every is not None and has_passed(every, checkpoint.reconciled_at, now)
