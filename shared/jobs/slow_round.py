"""The slow round over all patients, for the kinds that can only be listed by patient."""

from __future__ import annotations

from datetime import timedelta

from shared.drchrono.kinds import KINDS
from shared.jobs import practice_lists
from shared.jobs.checkpoint import Round
from shared.jobs.children import asked_for_all, lists_of
from shared.jobs.run import Run

# How long the slow round over all patients takes. It finds deletions and edits that no event announced, for kinds
# without a list of the whole practice.
ROUND = timedelta(days=30)
MOST_PER_ROUND_STEP = 50

FEW_WAITING = 10  # the round continues only when the work queue is nearly empty


def go_on(run: Run) -> None:
    """Queue the lists of the next few patients, so that each is read once a ROUND."""
    parts = run.parts
    now = parts.now()
    kinds = practice_lists.by_patient(parts)
    if not kinds or parts.checkpoints.get("patients").backfilled_at is None or parts.queue.waiting() > FEW_WAITING:
        return
    before = parts.checkpoints.round()
    share = (now - before.at) / ROUND if before.at else 0.0
    most = min(int(parts.records.count(KINDS["patients"]) * share), MOST_PER_ROUND_STEP)
    if before.at and not most:
        return  # not yet time for the next patient
    patients = parts.records.keys(KINDS["patients"], after=before.after, most=most) if most else []
    parts.queue.enqueue(lists_of(patients, now, kinds))
    began = before.began if before.after is not None else now
    # Fewer patients than requested: the round is complete, and the next one begins with the first patient.
    after = patients[-1] if len(patients) == most > 0 else None
    if after is None and most and began is not None:
        asked_for_all(parts, kinds, began)
    parts.checkpoints.set_round(Round(after=after, at=now, began=began))
