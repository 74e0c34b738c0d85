"""Tell the broker what waits in the collection `feed`.

Whoever stores a change sends it right after the commit. What that leaves (a process that died, a broker that does not
answer) is sent by the sync. While the broker fails, a change waits for it no longer than one publish takes, and then
not at all for PAUSE.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from shared.errors import StoreUnavailable
from shared.feed.document import Lease
from shared.feed.entries import Entry, Message, message_of
from shared.feed.outbox import LEASE, Outbox
from shared.log import log

# What a publish may take (`shared.cloud.feed.PUBLISH_SECONDS`), and how far apart the clocks of two instances may be.
# A relay whose lease ends sooner sends nothing more.
SENDING = timedelta(seconds=5)

PAUSE = timedelta(seconds=60)

# Versions of one record that whoever stores a change sends before it leaves the rest to the sync.
MOST_ROUNDS = 5

SWEPT_RECORDS = 100
SWEPT_ROUNDS = 1_000

# Returns the indexes of those messages that the broker has for certain, within a few seconds.
Publish = Callable[[Sequence[Message]], set[int]]


class Relay:
    """One for the life of an instance."""

    def __init__(
        self, outbox: Outbox, publish: Publish, now: Callable[[], datetime], new_fence: Callable[[], str]
    ) -> None:
        self._outbox = outbox
        self._publish = publish
        self._now = now
        self._new_fence = new_fence
        self._paused_until: datetime | None = None

    def lease(self) -> Lease | None:
        """For what is about to be stored; None while the broker fails."""
        if self._paused_until is not None and self._now() < self._paused_until:
            return None
        return self._new_lease()

    def send(self, held: Mapping[str, Entry], lease: Lease) -> None:
        """Send what was stored under `lease`. Raises nothing: what cannot be sent now waits for the sync."""
        try:
            self._rounds(held, lease, MOST_ROUNDS, Counter())
        except StoreUnavailable as error:
            log("feed.waits", "WARNING", reason=error.reason, count=len(held))

    def claim(self, names: Sequence[str], counts: Counter[str], check: Callable[[], None] = lambda: None) -> bool:
        """Send all that waits for these records. Returns whether the broker answered; raises what `check` raises.

        counts: `told` and `failed` messages are added.
        """
        lease = self._new_lease()
        held = self._outbox.claim(names, lease)
        return self._rounds(held, lease, SWEPT_ROUNDS, counts, check)

    def sweep(self, check: Callable[[], None], most: int) -> Counter[str]:
        """Send all that waits, for up to `most` records, until the broker does not answer. `check` may raise."""
        counts: Counter[str] = Counter()
        after: str | None = None
        for _ in range(0, most, SWEPT_RECORDS):
            check()
            names = self._outbox.names(after, SWEPT_RECORDS)
            if not names or not self.claim(names, counts, check):
                break
            after = names[-1]
        return counts

    def _rounds(
        self,
        held: Mapping[str, Entry],
        lease: Lease,
        most: int,
        counts: Counter[str],
        check: Callable[[], None] = lambda: None,
    ) -> bool:
        """Whether the broker answered, or was not asked. In a round, one message goes out for each record."""
        for left in range(most - 1, -1, -1):
            if not held or lease.until - self._now() < SENDING:
                return True
            check()
            entries = list(held.values())
            indexes = self._publish([message_of(entry) for entry in entries])
            sent = {entries[index].name: entries[index] for index in indexes}
            counts["told"] += len(sent)
            counts["failed"] += len(held) - len(sent)
            if not sent:
                self._paused_until = self._now() + PAUSE
                log("feed.waits", "WARNING", reason="publish_failed", count=len(held))
                return False
            self._paused_until = None
            following = self._new_lease() if left else None
            held = self._outbox.acknowledged(sent, lease, following)
            lease = following or lease
        return True

    def _new_lease(self) -> Lease:
        return Lease(self._new_fence(), self._now() + LEASE)
