"""One pass over the outbox: what is being sent and was given up, what is unknown, and what waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from shared.documents import Documents
from shared.errors import QuotaExhausted, StoreUnavailable, Throttled, TokenError, Unauthorized, Unreachable
from shared.log import log, log_crash
from shared.outbox import search, sender
from shared.outbox.admission import Admission
from shared.outbox.entries import State
from shared.outbox.precondition import Precondition
from shared.outbox.resolver import Resolver
from shared.outbox.search import Search
from shared.outbox.sender import Sender, Sent
from shared.outbox.storage import Outbox
from shared.outbox.written import Written
from shared.queue.work_queue import WorkQueue
from shared.rate_limit.ledger import Lane
from shared.records.store import Records

# More unknown entries are not counted for the log: each is a document that is read.
MOST_LOGGED = 200

# What keeps one entry from being sent and keeps the others, too.
ENDS = (QuotaExhausted, Throttled, TokenError, Unauthorized, Unreachable)


class Api(sender.Api, search.Api, Protocol):
    """Of `shared.drchrono.client.DrChrono`."""


class Work:
    """now: the time in UTC."""

    def __init__(self, outbox: Outbox, sender: Sender, resolver: Resolver, now: Callable[[], datetime]) -> None:
        self._outbox = outbox
        self._sender = sender
        self._resolver = resolver
        self._now = now

    def send(self, key: str) -> Sent:
        """Send one entry, at once after it was added. Raises StoreUnavailable."""
        return self._sender.send(key)

    def run(self, *, check: Callable[[], None], most: int) -> Counter[str]:
        """Work on up to `most` entries of each state that are due. Returns how many came to which state.

        check: called before each; what it raises ends the pass. A quota that is used up, or a token that cannot be had,
        ends it, too: the next pass goes on. An entry at which the code fails stays as it is, is logged, and keeps no
        other from its turn. Raises StoreUnavailable.
        """
        counts: Counter[str] = Counter()
        now = self._now()
        for key in self._outbox.due(State.SENDING, now, most):
            check()
            self._one(key, self._resolver.give_up)
        steps = [(key, self._look) for key in self._outbox.due(State.UNKNOWN, now, most)]
        steps += [(key, self._sender.send) for key in self._outbox.due(State.WAITING, now, most)][:most]
        steps += [(key, self._sender.send) for key in self._outbox.new(most)]
        for key, step in steps[: 2 * most]:
            check()
            sent = self._one(key, step)
            counts[sent.outcome if sent is not None else "failed"] += 1
            if sent is not None and isinstance(sent.error, ENDS):
                return counts
        return counts

    def _look(self, key: str) -> Sent:
        sent = self._resolver.look(key)
        self._sender.follow(sent)
        return sent

    def _one(self, key: str, step: Callable[[str], Sent]) -> Sent | None:
        """One entry. What goes wrong with it that nobody foresaw keeps no other from being sent."""
        try:
            return step(key)
        except StoreUnavailable:
            raise
        except Exception as error:
            log_crash("outbox", error)
            return None

    def report(self) -> None:
        """Log how many entries are in which state, for the alert on those that stay unknown."""
        now = self._now()
        for state in (State.WAITING, State.SENDING, State.UNKNOWN):
            entries = self._outbox.all_in(state, MOST_LOGGED)
            if entries:
                since = min(entry.sent_at or entry.requested_at for entry in entries)
                log(
                    "outbox.state",
                    outcome=str(state),
                    count=len(entries),
                    oldest_seconds=round((now - since).total_seconds()),
                )


def assembled(
    *,
    entries: Documents,
    copy: Documents,
    apis: Mapping[Lane, Api],
    records: Records,
    queue: WorkQueue,
    now: Callable[[], datetime],
    sleep: Callable[[float], None],
    random: Callable[[], float],
    new_fence: Callable[[], str],
) -> Work:
    """entries: where the outbox is. copy: where the records are."""
    outbox = Outbox(entries, now)
    search = Search(copy, outbox)
    written = Written(records=records, queue=queue, now=now, sleep=sleep)
    sender = Sender(
        apis=apis,
        outbox=outbox,
        admission=Admission(copy, outbox),
        search=search,
        precondition=Precondition(search=search, written=written, now=now),
        written=written,
        now=now,
        random=random,
        new_fence=new_fence,
    )
    resolver = Resolver(api=apis[Lane.LIVE], outbox=outbox, search=search, written=written, now=now)
    return Work(outbox, sender, resolver, now)
