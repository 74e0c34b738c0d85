"""The feed's part of the sync: send what is still to be announced, and announce which kinds have been filled."""

from __future__ import annotations

from shared.drchrono.kinds import KINDS, Kind
from shared.errors import StoreUnavailable
from shared.jobs.run import Parts, Run
from shared.log import log
from shared.records.announcing import Feed

# How many records are announced before the events and after them. A backlog of days delays no event.
FEW_ANNOUNCED, MOST_ANNOUNCED = 200, 50_000


def announce(run: Run, most: int) -> None:
    """Announce the waiting changes of up to `most` records. Raises Stopped."""
    feed = run.parts.feed
    if feed is None:
        return
    try:
        for kind in KINDS.values():
            if not feed.fillings.is_announced(kind.name) and _is_filled(run.parts, kind):
                _tell(run.parts, feed, kind)
        run.counts.update({f"feed_{name}": count for name, count in feed.relay.sweep(run.check, most).items()})
    except StoreUnavailable as error:
        run.unfinished["feed", "entries"] = error.reason
        log("feed.failed", "ERROR", reason=error.reason)


def report(parts: Parts) -> None:
    """Log how many records wait and for how long, for the alert. Raises StoreUnavailable."""
    if parts.feed is not None:
        lag = parts.feed.outbox.lag()
        seconds = (parts.now() - lag.oldest).total_seconds() if lag.oldest else 0.0
        log("feed.state", count=lag.records, oldest_seconds=round(max(seconds, 0.0)))


def _tell(parts: Parts, feed: Feed, kind: Kind) -> None:
    if feed.fillings.announce(kind.name, lambda: parts.records.count_living(kind), parts.now(), feed.outbox):
        log("feed.filled", kind=kind.name)


def _is_filled(parts: Parts, kind: Kind) -> bool:
    """Whether the first complete listing of the kind has ended, and the entries that it queued are completed."""
    checkpoint = parts.checkpoints.get(kind.name)
    if kind.whole:
        return checkpoint.synced_at is not None
    if kind.listed_by != "patient":
        return checkpoint.backfilled_at is not None
    if checkpoint.filled_at is None:
        return False
    oldest = parts.queue.pending(kind.name).oldest
    return oldest is None or oldest > checkpoint.filled_at
