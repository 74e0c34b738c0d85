"""The incremental sync: works off the queue, lists the changes of each kind, and follows up on them.

It also continues unfinished backfills, reconciliations and passes, so that one schedule drives all jobs.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from shared.drchrono.kinds import KINDS, Kind
from shared.drchrono.lag import listed_until, shown_until
from shared.errors import DrChronoError, ListShifted, StoreUnavailable
from shared.jobs import backfill, practice_lists, reconcile, slow_round, watermark
from shared.jobs.announce import FEW_ANNOUNCED, MOST_ANNOUNCED, announce
from shared.jobs.checkpoint import Checkpoint
from shared.jobs.children import follow
from shared.jobs.coverage import look_at_coverage
from shared.jobs.due import list_is_due
from shared.jobs.listing import Listing
from shared.jobs.run import Parts, Run
from shared.jobs.status import publish
from shared.jobs.walk import walk
from shared.jobs.whole import list_whole
from shared.jobs.worklist import retry_failed, work_off
from shared.jobs.zones import apply_zones
from shared.log import log
from shared.queue.entries import Priority
from shared.records.store import Source

# From this many entries of one kind on, listing its changes costs fewer requests than reading each record.
SOME = 5

# Live, from this many records on, a bulk list costs fewer requests than a plain list, whose pages hold 20 appointments.
MANY = 20

# How many entries of the outbox are sent before the events, and after them. A burst of entries delays no event.
FEW_WRITES, MOST_WRITES = 20, 200


def sync(run: Run, *, force: bool = False) -> None:
    """Run one sync. force: list the changes of each kind even if not due. Raises Stopped if the run ends early."""
    announce(run, FEW_ANNOUNCED)
    send_writes(run, FEW_WRITES)
    run.parts.queue.repair()
    kinds = [kind for kind in KINDS.values() if kind.changes]
    listed = {kind.name for kind in kinds if run.parts.queue.count(kind.name) >= SOME and changes(run, kind, force)}
    work_off(run, Priority.EVENT)
    send_writes(run, MOST_WRITES)
    list_whole(run, force=force)
    apply_zones(run)
    look_at_coverage(run)
    for kind in kinds:
        due = force or list_is_due(kind, run.parts.checkpoints.get(kind.name), run.parts.now())
        # If single records of a kind cannot be read, its list may still show them.
        if (due or kind.name in run.health.unreadable) and kind.name not in listed:
            changes(run, kind, force)
    # However many lists wait, half of the time is left for what comes after them.
    all_read = work_off(run, Priority.CHILDREN, until=run.halfway())
    retry_failed(run)
    backfill.go_on(run)
    reconcile.go_on(run)
    practice_lists.go_on(run, crowded=not all_read)
    work_off(run, Priority.BACKFILL)
    slow_round.go_on(run)
    announce(run, MOST_ANNOUNCED)


def send_writes(run: Run, most: int) -> None:
    """Send up to `most` entries of the outbox. Raises Stopped.

    The outbox may be in a database of its own. If that database is unavailable, the sync continues without it.
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


def changes(run: Run, kind: Kind, force: bool) -> bool:
    """List what changed since the watermark, store it, and move the watermark after the last page.

    Return whether the list was completed. If the kind cannot be listed, its checkpoint stays, and the run continues
    with the next kind. Raises Stopped.
    """
    if not run.may_try("sync", kind.name) and not force:
        return False
    parts = run.parts
    state = _begun(parts, kind)
    began: datetime = state["began"]
    seen: str | None = state["seen"]
    offsets = watermark.samples_of(state.get("offsets", ()))
    listed: int = state.get("listed", 0)

    listing = Listing(parts.seen, "sync", kind, state)

    def save(resume: Any) -> None:
        read = listing.state if resume else listing.state_of_next
        shown = {"seen": seen, "offsets": [one.as_json() for one in offsets], "listed": listed}
        part = {**state, **read, **shown, "resume": resume}
        parts.checkpoints.change(kind.name, lambda old: replace(old, sync=part))

    try:
        for page, result in walk(
            run,
            kind,
            Source("sync"),
            since=state["since"],
            resume=state["resume"],
            bulk=state["many"],
            archived=True,
            save=save,
            before_store=partial(follow, parts, kind),
        ):
            seen = watermark.newest(page.records, seen)
            offsets = watermark.learned(offsets, result.versions, page.began)
            listed += len(page.records)
            listing.add(page, result)
            del page, result
        agrees = listing.agrees()
        listing.forget()
        if not agrees:
            raise ListShifted(kind.name)
    except DrChronoError as error:
        run.failed("sync", kind.name, error)
        return False
    held = parts.absences.held_since(kind) is not None

    def done(old: Checkpoint) -> Checkpoint:
        newest = old.next_watermark or old.watermark
        moved = watermark.moved(newest, seen, began, watermark.offset_of(offsets))
        # A list of several pages may miss a record, which the list before it or after it shows. So the watermark stays
        # one list behind: the next list requests again what only this one has requested.
        single = listing.reading.pages <= 1
        done = replace(
            old,
            watermark=moved if single else newest or watermark.behind(began),
            next_watermark=None if single else moved,
            offsets=[one.as_json() for one in offsets],
            listed=listed,
            synced_at=began,
            sync=None,
        )
        proven = began if single else old.synced_at
        if not held:
            done = replace(done, complete_at=_complete_at(old, proven))
        return done

    run.finished("sync", kind, done, publish)
    return True


def _complete_at(old: Checkpoint, listed: datetime | None) -> datetime | None:
    """Return up to when the kind is complete after a list that was begun at `listed`.

    The backfill may have missed records that changed while it read. So the first claim needs a list that shows every
    change up to the end of the backfill.
    """
    if listed is None or old.filled_at is None or (old.complete_at is None and shown_until(listed) < old.filled_at):
        return old.complete_at
    return max(filter(None, (old.complete_at, listed_until(listed))))


def _begun(parts: Parts, kind: Kind) -> dict[str, Any]:
    """Return the state of the kind's unfinished sync, or of a new one."""

    unfinished = parts.checkpoints.get(kind.name)
    if unfinished.sync is not None and unfinished.sync["resume"] is not None:
        return unfinished.sync
    now = parts.now()
    state = {
        "began": now,
        "since": watermark.since(unfinished.watermark or watermark.behind(now)),
        "seen": None,
        "offsets": unfinished.offsets,
        "listed": 0,
        "resume": None,
        "many": max(parts.queue.count(kind.name), unfinished.listed) >= MANY,
    }
    parts.checkpoints.change(kind.name, lambda old: replace(old, sync=state))
    return state
