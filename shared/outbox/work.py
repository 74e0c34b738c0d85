"""One pass over the outbox: entries whose sender crashed, unknown entries, and waiting entries."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from shared.documents import Documents
from shared.errors import QuotaExhausted, StoreUnavailable, Throttled, TokenError, Unauthorized, Unreachable
from shared.log import log, log_crash
from shared.outbox import attempt, search
from shared.outbox.admission import Admission
from shared.outbox.attempt import Attempts, Sent
from shared.outbox.chains import Each, chains, in_threads
from shared.outbox.entries import State
from shared.outbox.lanes import Lanes
from shared.outbox.precondition import Precondition
from shared.outbox.queries import Due
from shared.outbox.resolver import Resolver
from shared.outbox.search import Search
from shared.outbox.sender import Sender
from shared.outbox.storage import Outbox
from shared.outbox.written import Written
from shared.queue.work_queue import WorkQueue
from shared.rate_limit.ledger import Lane
from shared.records.store import Records

# The most unknown entries that are counted for the log, since each costs a read.
MOST_LOGGED = 200

# Errors that affect all entries.
ENDS = (QuotaExhausted, Throttled, TokenError, Unauthorized, Unreachable)


class Api(attempt.Api, search.Api, Protocol):
    """Of `shared.drchrono.client.DrChrono`."""


class Work:
    """now: the time in UTC. each: runs a function on every item, a few at a time."""

    def __init__(
        self, outbox: Outbox, sender: Sender, resolver: Resolver, now: Callable[[], datetime], each: Each
    ) -> None:
        self._outbox = outbox
        self._sender = sender
        self._resolver = resolver
        self._now = now
        self._each = each

    def send(self, key: str) -> Sent:
        """Send one entry right after it was added. Raises StoreUnavailable."""
        return self._sender.send(key)

    def run(self, *, check: Callable[[], None], most: int) -> Counter[str]:
        """Process up to `most` due entries of each state. Return how many reached which state.

        Entries of one target are processed in sequence, those of different targets concurrently. check: called before
        each; an error that it raises ends the pass. An exhausted quota or a missing token also ends it, and the next
        pass continues. If our own code fails on an entry, the entry is logged and stays unchanged, and the others are
        processed. Raises StoreUnavailable.
        """
        now, entries = self._now(), self._outbox.entries
        for key in entries.expired(now, most):
            check()
            self._outbox.empty(key)
        for due in entries.due(State.SENDING, now, most):
            check()
            self._one(due.key, self._give_up)
        unknown, waiting = entries.due(State.UNKNOWN, now, most), entries.due(State.WAITING, now, most)
        todo = (unknown + waiting + entries.new(most))[: 2 * most]
        looked = {due.key for due in unknown}
        one_at_a_time, ended = threading.Lock(), threading.Event()

        def chain(of_target: Sequence[Due]) -> Counter[str]:
            counts: Counter[str] = Counter()
            try:
                for due in of_target:
                    with one_at_a_time:
                        if ended.is_set():
                            break
                        check()
                    sent = self._one(due.key, self._look if due.key in looked else self._sender.send)
                    counts[sent.outcome if sent is not None else "failed"] += 1
                    if sent is not None and isinstance(sent.error, ENDS):
                        ended.set()
            except BaseException:
                ended.set()
                raise
            return counts

        return sum(self._each(chain, chains(todo)), Counter())

    def _give_up(self, key: str) -> Sent:
        sent = self._resolver.give_up(key)
        return sent if sent.entry is not None else self._sender.send(key)

    def _look(self, key: str) -> Sent:
        sent = self._resolver.look(key)
        if sent.entry is None:  # unreadable: treated as new
            return self._sender.send(key)
        self._sender.follow(sent)
        return sent

    def _one(self, key: str, step: Callable[[str], Sent]) -> Sent | None:
        """Process one entry. An unforeseen error does not stop the others."""
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
            entries = self._outbox.entries.summaries(state, MOST_LOGGED)
            if entries:
                since = min(entry.since or now for entry in entries)
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
    each: Each = in_threads,
) -> Work:
    """entries: where the outbox is. copy: where the records are."""
    outbox = Outbox(entries, now)
    lanes = Lanes(apis, outbox.entries)
    search = Search(copy, outbox.entries)
    written = Written(records=records, queue=queue, now=now, sleep=sleep)
    sender = Sender(
        lanes=lanes,
        outbox=outbox,
        admission=Admission(copy, outbox),
        precondition=Precondition(search=search, written=written, now=now),
        attempts=Attempts(outbox=outbox, search=search, written=written, now=now, random=random, new_fence=new_fence),
        now=now,
        random=random,
    )
    resolver = Resolver(lanes=lanes, outbox=outbox, search=search, written=written, now=now)
    return Work(outbox, sender, resolver, now, each)
