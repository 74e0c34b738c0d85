"""Up to when the copy of a kind is complete.

A true claim stays true, because it is about changes that were made before an instant. So if no newer claim is possible,
the last one remains.
"""

from __future__ import annotations

from datetime import datetime

from shared.drchrono.lag import listed_until
from shared.jobs.checkpoint import Checkpoint
from shared.queue.work_queue import Pending


def of_listed(checkpoint: Checkpoint, pending: Pending, before: datetime | None) -> datetime | None:
    """For a kind with a list of changes, or one that is listed whole. before: the last claim.

    When a waiting entry was created, the copy held the record as of then. Only later changes may be missing.
    """
    listed = checkpoint.complete_at
    if listed is None or _is_unclear(pending):
        return before
    return _latest(before, listed if pending.oldest is None else min(listed, listed_until(pending.oldest)))


def of_children(
    checkpoint: Checkpoint, pending: Pending, patients: datetime | None, before: datetime | None
) -> datetime | None:
    """For a kind that is listed by patient. Every list was requested in the time from `complete_at` to `filled_at`, and
    an entry that still waits from that time may never have been read. patients: the claim of the patients.
    """
    listed, ended = checkpoint.complete_at, checkpoint.filled_at
    if listed is None or ended is None or patients is None or _is_unclear(pending):
        return before
    if pending.oldest is not None and pending.oldest <= ended:
        return before
    return _latest(before, min(listed, patients))


def _is_unclear(pending: Pending) -> bool:
    return pending.unstorable or (pending.count > 0 and pending.oldest is None)


def _latest(before: datetime | None, claim: datetime) -> datetime:
    return claim if before is None else max(before, claim)
