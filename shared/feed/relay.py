"""Publish the entries of the collection `feed`.

The process that stores a change sends it right after the commit. The sync sends what is left over, after a crash or if
the broker does not answer. While the broker fails, storing a change waits no longer than one publish takes, and then
for PAUSE not at all.
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

# The time of a publish (`shared.cloud.feed.PUBLISH_SECONDS`), and the largest difference between two instances' clocks.
# A relay whose lease ends sooner sends nothing more.
SENDING = timedelta(seconds=5)

PAUSE = timedelta(seconds=60)

# How many versions of one record are sent right after a commit. The sync sends the rest.
MOST_ROUNDS = 5

SWEPT_RECORDS = 100
SWEPT_ROUNDS = 1_000

# Returns the indexes of the messages that the broker has acknowledged, within a few seconds.
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
        """Return a lease for what is about to be stored; None while the broker fails."""
        if self._paused_until is not None and self._now() < self._paused_until:
            return None
        return self._new_lease()

    def send(self, held: Mapping[str, Entry], lease: Lease) -> None:
        """Send what was stored under `lease`. Raises nothing: the sync sends what cannot be sent now."""
        try:
            self._rounds(held, lease, MOST_ROUNDS, Counter())
        except StoreUnavailable as error:
            log("feed.waits", "WARNING", reason=error.reason, count=len(held))

    def claim(self, names: Sequence[str], counts: Counter[str], check: Callable[[], None] = lambda: None) -> bool:
        """Send all entries of these records. Return whether the broker answered. Raises what `check` raises.

        counts: numbers of `published` and `failed` messages are added.
        """
        lease = self._new_lease()
        held = self._outbox.claim(names, lease)
        return self._rounds(held, lease, SWEPT_ROUNDS, counts, check)

    def sweep(self, check: Callable[[], None], most: int) -> Counter[str]:
        """Send all entries of up to `most` records, as long as the broker answers. `check` may raise."""
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
        """Return False if the broker did not answer. In a round, one message is sent for each record."""
        for left in range(most - 1, -1, -1):
            if not held or lease.until - self._now() < SENDING:
                return True
            check()
            entries = list(held.values())
            indexes = self._publish([message_of(entry) for entry in entries])
            sent = {entries[index].name: entries[index] for index in indexes}
            counts["published"] += len(sent)
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
