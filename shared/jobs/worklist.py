"""Work off the queue: claim what is due, bring each target up to date, and complete its entry or postpone it."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

from shared.errors import QuotaExhausted, StoreUnavailable, SyncError, Unforeseen
from shared.jobs.run import Parts, Run
from shared.jobs.stopping import Stopped, is_unavailable, stop_reason
from shared.log import log, log_crash
from shared.queue.entries import Entry, Priority, absent_since, due_after, priority_after
from shared.records.ordering import Outcome
from shared.records.outcome import Done, Known
from shared.records.store import Source

CLAIM_ENTRIES = 20  # one worker finishes these well within the lease of an entry

# Entries that failed before may fail permanently. This limit per run leaves time for other work.
MOST_FAILED_RETRIES = 10

# How long entries wait if their kind cannot be read at present.
KIND_PAUSE = timedelta(minutes=5)


def work_off(run: Run, lowest: Priority, *, until: datetime | None = None) -> bool:
    """Work off entries of priority `lowest` and above until none is due. Return whether that is so. Raises Stopped.

    until: claim no more entries after this time.
    """
    while until is None or run.parts.now() < until:
        entries = run.parts.queue.claim(run.parts.now(), CLAIM_ENTRIES, lowest)
        if not entries:
            return True
        _work_all(run, entries)
    return False


def retry_failed(run: Run) -> None:
    """Retry entries that failed before, until none is due or `MOST_FAILED_RETRIES` fail again. Raises Stopped."""
    failed = 0
    while failed < MOST_FAILED_RETRIES:
        most = min(CLAIM_ENTRIES, MOST_FAILED_RETRIES - failed)
        entries = run.parts.queue.claim(run.parts.now(), most, Priority.RETRY, Priority.RETRY)
        if not entries:
            return
        failed += _work_all(run, entries)


def _work_all(run: Run, entries: list[Entry]) -> int:
    """Return how many failed. Raises Stopped, after releasing the rest."""
    failed = 0
    for number, entry in enumerate(entries):
        try:
            run.check()
            if entry.target.kind in run.health.unreadable and entry.attempts == 0:
                run.parts.queue.release([entry], run.parts.now() + KIND_PAUSE)
            elif not _work(run, entry):
                failed += 1
        except Stopped:
            run.parts.queue.release(entries[number:], run.parts.now())
            raise
    return failed


def _work(run: Run, entry: Entry) -> bool:
    """Return whether the target could be read. Raises Stopped if the next entry would fail as well."""
    parts = run.parts
    known = Known(entry.last_seen, entry.updated_at, entry.deletes, entry.reason, entry.absent_since)
    source = Source(
        "webhook" if entry.deliveries else "pending",
        entry.last_seen,
        deliveries=entry.deliveries,
        lists_all=entry.target.by == "patient" and entry.reason == "backfill",
    )
    try:
        done = _refreshed(parts, entry, known, source)
    except StoreUnavailable:
        raise
    except SyncError as error:
        reason = stop_reason(error)
        if reason is not None:
            raise Stopped(reason) from None
        return _postponed(run, entry, error)
    except Stopped:
        raise
    except Exception as error:  # an unforeseen error of one entry must not stop the others
        log_crash("pending", error)
        return _postponed(run, entry, Unforeseen("an error of our own"))
    run.health.record_answered(entry.target.kind)
    if done.confirm_at is not None:
        parts.queue.retry(entry, "confirm", done.confirm_at, priority=Priority.CONFIRM, failed=False)
    else:
        parts.queue.complete(entry.target, done.evidence)
    run.counts[done.outcome] += 1
    return True


def _refreshed(parts: Parts, entry: Entry, known: Known, source: Source) -> Done:
    """Fetch and store the target. An event uses a live request, or a background request if none is left."""
    if entry.priority == Priority.EVENT:
        with suppress(QuotaExhausted):
            return parts.events.run(entry.target, known, source)
    return parts.children.run(entry.target, known, source)


def _postponed(run: Run, entry: Entry, error: SyncError) -> bool:
    """Postpone the entry. Return whether DrChrono answered. Raises Stopped if it is down."""
    parts = run.parts
    due = due_after(error, entry.attempts, parts.now(), parts.random)
    failed = is_unavailable(error)
    priority = priority_after(error, entry)
    parts.queue.retry(entry, error.reason, due, priority=priority, absent_since=absent_since(error, entry))
    run.counts[Outcome.DEFERRED] += 1
    log(
        "pending.postponed",
        kind=entry.target.kind,
        id=entry.target.id,
        reason=error.reason,
        attempt=entry.attempts + 1,
    )
    if not failed:
        run.health.record_answered(entry.target.kind)
    elif entry.attempts == 0:
        run.health.record_failed(entry.target.kind, error)
    return not failed
