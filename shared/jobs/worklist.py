"""Work off the pending list: claim what is due, bring each up to date, settle it or put it off."""

from __future__ import annotations

from shared.errors import StoreUnavailable, SyncError
from shared.jobs.run import Run, Stopped, stop_reason
from shared.log import log
from shared.queue.entries import Entry, Priority, due_after
from shared.records.ordering import Outcome
from shared.records.refresh import Known
from shared.records.store import Source

CLAIM_ENTRIES = 20  # as many as one worker finishes well within the lease of an entry

# So many failures in a row are the API's, not the records': what is left of the quota is better kept.
FAILURES_IN_A_ROW = 5


def work_off(run: Run, lowest: Priority) -> None:
    """Entries of priority `lowest` and above until none is due. Raises Stopped."""
    failures = 0
    while entries := run.parts.queue.claim(run.parts.now(), CLAIM_ENTRIES, lowest):
        for number, entry in enumerate(entries):
            try:
                run.check()
                failures = 0 if _work(run, entry) else failures + 1
                if failures == FAILURES_IN_A_ROW:
                    raise Stopped("unavailable")
            except Stopped:
                run.parts.queue.release(entries[number:], run.parts.now())
                raise


def _work(run: Run, entry: Entry) -> bool:
    """Whether the API answered. Raises Stopped where the next entry would fare no better."""
    parts = run.parts
    known = Known(
        last_seen=entry.last_seen,
        updated_at=entry.updated_at,
        deletes=entry.deletes,
        first=entry.attempts == 0,
    )
    refresh = parts.events if entry.priority == Priority.EVENT else parts.children
    source = Source("webhook" if entry.deliveries else "pending", None, entry.last_seen)
    try:
        outcome = refresh.run(entry.target, known, source).outcome
    except StoreUnavailable:
        raise
    except SyncError as error:
        reason = stop_reason(error)
        if reason in ("quota", "revoked", "token"):
            raise Stopped(reason) from None
        parts.queue.retry(entry, error.reason, due_after(error, entry.attempts, parts.now(), parts.random))
        run.counts[Outcome.DEFERRED] += 1
        log(
            "pending.postponed",
            kind=entry.target.kind,
            id=entry.target.id,
            reason=error.reason,
            attempt=entry.attempts + 1,
        )
        return reason is None
    parts.queue.complete(entry.target, entry.last_seen)
    run.counts[outcome] += 1
    return True
