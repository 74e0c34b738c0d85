"""The incremental sync: the work queue first, then the changes of each kind, then what follows from them.

It is also what goes on with an unfinished backfill or reconciliation, so that one schedule keeps everything moving.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from shared.drchrono.kinds import KINDS, Kind
from shared.errors import DrChronoError, StoreUnavailable
from shared.jobs import backfill, reconcile, watermark
from shared.jobs.checkpoints import Checkpoint, Round
from shared.jobs.children import follow, lists_of
from shared.jobs.run import Parts, Run
from shared.jobs.walk import walk
from shared.jobs.worklist import retry_failed, work_off
from shared.log import log
from shared.queue.entries import Priority
from shared.records.store import Source

# From this many pending records of one kind on, the list of its changes costs fewer requests than they do.
MANY = 20

# How long the slow round over all patients takes: medications, problems and allergies have no list of changes, and
# what is deleted or edited there without an event is found by it.
ROUND = timedelta(days=30)
MOST_PER_ROUND_STEP = 50
# Of the outbox: before the events, and after them. A burst of entries delays no event.
FEW_WRITES, MOST_WRITES = 20, 200

FEW_WAITING = 10  # the round goes on only when the work queue is nearly empty


def sync(run: Run, *, force: bool = False) -> None:
    """force: ask for the changes of each kind, due or not. Raises Stopped when the run ends before all is done."""
    send_writes(run, FEW_WRITES)
    run.parts.queue.repair()
    kinds = [kind for kind in KINDS.values() if kind.changes]
    listed = {kind.name for kind in kinds if run.parts.queue.count(kind.name) >= MANY and changes(run, kind, force)}
    work_off(run, Priority.EVENT)
    send_writes(run, MOST_WRITES)
    for kind in kinds:
        # Where single records cannot be read, their list may show them.
        wanted = force or _is_due(run, kind) or kind.name in run.health.unreadable
        if wanted and kind.name not in listed:
            changes(run, kind, force)
    work_off(run, Priority.CHILDREN)
    retry_failed(run)
    backfill.go_on(run)
    reconcile.go_on(run)
    work_off(run, Priority.BACKFILL)
    _round(run)


def send_writes(run: Run, most: int) -> None:
    """Send what other programs asked for, up to `most` entries. Raises Stopped.

    The outbox may be in a database of its own: where that cannot be reached, the copy is kept current all the same.
    """
    if run.parts.outbox is None:
        return
    try:
        counts = run.parts.outbox.run(check=run.check, most=most)
    except StoreUnavailable as error:
        run.unfinished["outbox", "entries"] = error.reason
        log("outbox.failed", "ERROR", reason=error.reason)
        return
    for state, count in counts.items():
        run.counts[f"writes_{state}"] += count


def _is_due(run: Run, kind: Kind) -> bool:
    now = run.parts.now()
    position = run.parts.checkpoints.get(kind.name)
    interval = timedelta(minutes=kind.sync_minutes)
    return position.sync is not None or position.synced_at is None or now - position.synced_at >= interval


def changes(run: Run, kind: Kind, force: bool) -> bool:
    """List what changed since the watermark, store it, and move the watermark after the last page.

    Returns whether that was done. A kind that cannot be listed waits with its checkpoint, and the run goes on with the
    next kind. Raises Stopped.
    """
    if not run.may_try("sync", kind.name) and not force:
        return False
    parts = run.parts
    state = _begun(parts, kind)
    began: datetime = state["began"]
    seen: str | None = state["seen"]

    def save(resume: Any) -> None:
        parts.checkpoints.change(kind.name, lambda old: replace(old, sync={**state, "seen": seen, "resume": resume}))

    try:
        for page, _ in walk(
            run,
            kind,
            Source("sync"),
            since=state["since"],
            resume=state["resume"],
            bulk=state["many"],
            archived=True,
            save=save,
            before_store=lambda page: follow(parts, kind, page),
        ):
            seen = watermark.newest(page.records, seen, page.began)
    except DrChronoError as error:
        run.failed("sync", kind.name, error)
        return False
    held = parts.absences.held_since(kind) is not None

    def done(old: Checkpoint) -> Checkpoint:
        done = replace(old, watermark=watermark.moved(old.watermark, seen, began), synced_at=began, sync=None)
        if old.backfilled_at is not None and not held:
            done = replace(done, complete_at=began)
        return done.mended("sync")

    parts.checkpoints.change(kind.name, done)
    run.unfinished.pop(("sync", kind.name), None)
    return True


def _begun(parts: Parts, kind: Kind) -> dict[str, Any]:
    """The unfinished sync of the kind, or a new one."""

    unfinished = parts.checkpoints.get(kind.name)
    if unfinished.sync is not None and unfinished.sync["resume"] is not None:
        return unfinished.sync
    now = parts.now()
    state = {
        "began": now,
        "since": watermark.since(unfinished.watermark or watermark.behind(now)),
        "seen": None,
        "resume": None,
        "many": parts.queue.count(kind.name) >= MANY,
    }
    parts.checkpoints.change(kind.name, lambda old: replace(old, sync=state))
    return state


def _round(run: Run) -> None:
    """Put the next few patients' lists in the work queue, so that each is looked at once a ROUND."""
    parts = run.parts
    now = parts.now()
    if parts.checkpoints.get("patients").backfilled_at is None or parts.queue.waiting() > FEW_WAITING:
        return
    before = parts.checkpoints.round()
    share = (now - before.at) / ROUND if before.at else 0.0
    most = min(int(parts.records.count(KINDS["patients"]) * share), MOST_PER_ROUND_STEP)
    if before.at and not most:
        return  # one patient's turn is not over: the time adds up
    patients = parts.records.keys(KINDS["patients"], after=before.after, most=most) if most else []
    parts.queue.enqueue(lists_of(patients, now))
    # Fewer than asked for means that the round is complete: the next begins with the first patient.
    after = patients[-1] if len(patients) == most > 0 else None
    parts.checkpoints.set_round(Round(after=after, at=now))


def report_positions(parts: Parts) -> None:
    """Log how far each kind is complete, for the alert on its lag."""
    now = parts.now()
    for name in KINDS:
        complete = parts.checkpoints.get(name).complete_at
        if complete is not None:
            log("kind.position", kind=name, lag_seconds=round((now - complete).total_seconds()))
