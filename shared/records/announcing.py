"""Transactions that change records and announce each change: in the feed, in the history, in both or in neither."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import NamedTuple, TypeVar

from shared.documents import Data, DocumentExists, Documents, Transaction
from shared.drchrono.kinds import Kind
from shared.feed.entries import Entry
from shared.feed.filled import Fillings
from shared.feed.outbox import Outbox
from shared.feed.relay import Relay
from shared.records.changes import Change, change_of, difference, history_of
from shared.records.ordering import copy_of
from shared.records.prepared import Prepared
from shared.records.queries import WRITTEN_FIELDS
from shared.records.storable import join

T = TypeVar("T")

# Call it once, before the first write of the transaction.
Announce = Callable[[Sequence[Change]], None]


class Feed(NamedTuple):
    """fillings: the kinds that were announced as filled. announces_all: announce each record of a first filling too."""

    outbox: Outbox
    relay: Relay
    fillings: Fillings
    announces_all: bool = False


class Announcing:
    """feed: None if it is off. history: how long changes are kept in it, None if it is off."""

    def __init__(self, documents: Documents, feed: Feed | None = None, history: timedelta | None = None) -> None:
        self._documents = documents
        self._feed = feed
        self._history = history

        self._compares = feed is not None or history is not None

    @property
    def fields(self) -> Sequence[str]:
        """The fields of the earlier document that a write needs; none stands for all, which `changes` compares."""
        return () if self._compares else WRITTEN_FIELDS

    def is_silent(self, kind: Kind, *, filling: bool) -> bool:
        """Return whether new records are not announced one by one. filling: they come from a walk over everything."""
        if not filling or not self._compares:
            return False
        if self._feed is None:
            return True
        return not self._feed.announces_all and not self._feed.fillings.is_announced(kind.name)

    def changes(self, kind: Kind, one: Prepared, found: Data | None, meta: Data, *, silent: bool) -> list[Change]:
        """Return the change to announce when a record replaces `found`: one or none. silent: none if it is new."""
        before = copy_of(found)
        if not self._compares or (before is None and silent):
            return []
        return [change_of(kind, one.key, one.path, before, meta, difference(join(found or {}), one.record))]

    def transact(self, work: Callable[[Transaction, Announce], T]) -> T:
        """Like `Documents.transact`. Sends the announced changes before it returns, if the broker answers."""
        feed = self._feed
        if feed is None:
            return self._documents.transact(lambda transaction: work(transaction, partial(self._keep, transaction)))
        lease = feed.relay.lease()
        asked = False
        held: dict[str, Entry] = {}

        def attempt(transaction: Transaction, *, new: bool) -> T:
            held.clear()

            def announce(changes: Sequence[Change]) -> None:
                nonlocal asked
                asked = asked or bool(changes)
                held.update(feed.outbox.add(transaction, [change.entry for change in changes], lease, new=new))
                self._keep(transaction, changes)

            return work(transaction, announce)

        try:
            # The feed outbox rarely has an entry for the record, so the first attempt does not read it.
            result = self._documents.transact(partial(attempt, new=True))
        except DocumentExists:
            if not asked:
                raise
            result = self._documents.transact(partial(attempt, new=False))
        if held and lease is not None:
            feed.relay.send(held, lease)
        return result

    def _keep(self, transaction: Transaction, changes: Sequence[Change]) -> None:
        if self._history is not None:
            for change in changes:
                transaction.set(*history_of(change, self._history))
