"""What is known of a target before it is fetched, and what became of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shared.drchrono.lag import VERSION_LAG, Evidence, is_older, provable_from
from shared.errors import LookAgain
from shared.queue.entries import BEHIND_RETRY
from shared.records.ordering import Copy, Outcome, Verdict
from shared.records.results import Stored

OUTCOMES = {
    Verdict.STORE: Outcome.STORED,
    Verdict.UNSURE: Outcome.STORED,
    Verdict.SAME: Outcome.UNCHANGED,
    Verdict.LATE: Outcome.STALE,
    Verdict.TOMBSTONE: Outcome.GONE,
}


@dataclass(frozen=True)
class Known:
    """What is known before the fetch. last_seen: when the newest event was received. updated_at: the newest version
    that an event named. deletes: the newest event announced a deletion. reason, absent_since: from the queue entry, if
    there is one.
    """

    last_seen: datetime
    updated_at: str | None = None
    deletes: bool = False
    reason: str = ""
    absent_since: datetime | None = None

    def precedes(self, copy: Copy) -> bool:
        """Return whether the copy is newer than the newest event. It then shows the record after that event."""
        return copy.events_until >= self.last_seen or is_older(self.updated_at, copy.updated_at)


@dataclass(frozen=True)
class Done:
    """What became of a target. evidence: what the fetch proves. confirm_at: when to fetch again, if the stored record
    may be older than the one it replaced. fetch_seconds, store_seconds: how long DrChrono and the store took for a
    single record.
    """

    outcome: Outcome
    evidence: Evidence
    confirm_at: datetime | None = None
    fetch_seconds: float = 0.0
    store_seconds: float = 0.0


def done(stored: Stored, known: Known, began: datetime) -> Done:
    """Return the result. Raises LookAgain if the answer is older than the copy, or than the version of the event."""
    after = stored.after
    behind = after is not None and not after.deleted and is_older(after.updated_at, known.updated_at)
    if after is None or stored.verdict is Verdict.LAGGING:
        fetched_at = after.fetched_at if after else began
        raise LookAgain("lag", max(provable_from(fetched_at), began + BEHIND_RETRY))
    if behind and began < known.last_seen + VERSION_LAG:
        raise LookAgain("lag", max(provable_from(known.last_seen), began + BEHIND_RETRY))
    return Done(OUTCOMES[stored.verdict], after.evidence, stored.doubted_until)
