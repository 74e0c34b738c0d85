"""Resolve entries whose request was not answered: found, proved absent, or left to a person."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from shared.drchrono.ids import id_of
from shared.drchrono.kinds import KINDS
from shared.errors import DrChronoError, QuotaExhausted, SyncError, Throttled, TokenError, Unauthorized
from shared.log import log
from shared.outbox import transitions
from shared.outbox.attempt import Sent
from shared.outbox.entries import Entry, State
from shared.outbox.entry_log import shown_key
from shared.outbox.guards import Unreadable
from shared.outbox.lanes import Lanes
from shared.outbox.matching import Finding
from shared.outbox.search import Api, Search
from shared.outbox.storage import Change, Outbox
from shared.outbox.transitions import Superseded
from shared.outbox.validation import Action
from shared.outbox.written import Written

# Nothing was found, and the next search would find no more.
HELD = (QuotaExhausted, Throttled, TokenError, Unauthorized)


class Resolver:
    """Every method raises StoreUnavailable."""

    def __init__(
        self, *, lanes: Lanes[Api], outbox: Outbox, search: Search, written: Written, now: Callable[[], datetime]
    ) -> None:
        self._lanes = lanes
        self._outbox = outbox
        self._search = search
        self._written = written
        self._now = now

    def give_up(self, key: str) -> Sent:
        """Make an entry unknown whose sender crashed before it recorded an outcome."""
        entry, now = self._outbox.entries.get(key), self._now()
        if entry is None or entry.state is not State.SENDING or entry.due > now:
            return Sent(entry)
        return self._settled(
            entry, lambda there, guard: transitions.unknown(there, guard, reason="sender_died", now=now)
        )

    def look(self, key: str) -> Sent:
        """Search DrChrono for the effect of an unknown entry."""
        entry = self._outbox.entries.get(key)
        if entry is None or entry.state is not State.UNKNOWN or entry.due > self._now():
            return Sent(entry)
        try:
            found, began = self._search.look(self._lanes.api(), entry)
        except HELD as error:
            return Sent(entry, error)
        except DrChronoError as error:
            return self._settled(entry, self._looked(error.reason))
        if found.finding is Finding.ABSENT:
            now = self._now()
            return self._settled(
                entry, lambda there, guard: (transitions.unsent(there, reason="not_arrived", due=now), None)
            )
        record_id = None
        if found.record is not None:
            update = entry.request.action is Action.UPDATE
            record_id = entry.request.id if update else id_of(found.record.get("id"))
        if found.record is None or record_id is None or began is None:
            return self._settled(entry, self._looked(str(found.finding)))
        version = self._written.keep(KINDS[entry.request.kind], record_id, found.record, began)
        done_id, differs, now = record_id, found.differs, self._now()
        return self._settled(
            entry,
            lambda there, guard: transitions.done(
                there, guard, record_id=done_id, version=version, now=now, differs=differs
            ),
        )

    def _looked(self, reason: str) -> Change:
        now = self._now()
        return lambda there, guard: (transitions.looked(there, reason=reason, now=now), guard)

    def _settled(self, entry: Entry, change: Change, error: SyncError | None = None) -> Sent:
        try:
            settled = self._outbox.settle(entry, entry.fence or "", change)
        except (Superseded, Unreadable):
            return Sent(self._outbox.entries.get(entry.key), error)
        log(
            "outbox.looked",
            kind=entry.request.kind,
            outcome=str(settled.state),
            reason=settled.reason,
            attempt=settled.looks,
            delivery=shown_key(entry.key),
            seconds=round((self._now() - entry.requested_at).total_seconds(), 3),
        )
        return Sent(settled, error)
