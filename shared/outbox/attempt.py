"""One attempt: record `sending`, send one request, and record its outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from shared.drchrono.kinds import KINDS, Kind, key_of
from shared.drchrono.records import Fetched
from shared.errors import StoreUnavailable, SyncError
from shared.log import log
from shared.outbox import transitions
from shared.outbox.answers import NOT_DONE, complaints, refusal
from shared.outbox.entries import Entry, State
from shared.outbox.entry_log import log_entry, shown_key
from shared.outbox.guards import Unreadable
from shared.outbox.search import Search
from shared.outbox.storage import Change, Outbox
from shared.outbox.transitions import SEND_WITHIN, Blocked, Superseded
from shared.outbox.validation import Action
from shared.outbox.written import Written
from shared.queue.entries import due_after


class Api(Protocol):
    """Of `shared.drchrono.client.DrChrono`."""

    def get(self, kind: Kind, id: str) -> Fetched: ...  # noqa: A002 (DrChrono's word)
    def create(
        self,
        kind: Kind,
        fields: Mapping[str, Any],
        *,
        allow_duplicates: bool = False,
        before_sending: Callable[[], None] | None = None,
    ) -> dict[str, Any]: ...
    def update(
        self,
        kind: Kind,
        id: str,  # noqa: A002
        fields: Mapping[str, Any],
        *,
        before_sending: Callable[[], None] | None = None,
    ) -> None: ...


@dataclass(frozen=True)
class Sent:
    """entry: its current state; None if there is none. error: why it was not sent, which may affect others as well."""

    entry: Entry | None
    error: SyncError | None = None

    @property
    def outcome(self) -> str:
        return "none" if self.entry is None else str(self.entry.state)


class _TooLate(Exception):
    """Too much time has passed since `sending` was recorded, so nothing was sent."""


class Attempts:
    """new_fence: returns a unique name for an attempt."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        search: Search,
        written: Written,
        now: Callable[[], datetime],
        random: Callable[[], float],
        new_fence: Callable[[], str],
    ) -> None:
        self._outbox = outbox
        self._search = search
        self._written = written
        self._now = now
        self._random = random
        self._new_fence = new_fence

    def send(self, entry: Entry, api: Api) -> Sent:
        """Send an entry whose turn it is. Raises Blocked, Superseded and Unreadable, all before anything is sent, and
        what the stores raise.
        """
        before, known = self._search.before(entry.request), self._search.known(entry.request)
        fence = self._new_fence()
        begun = self._outbox.begin(entry, fence=fence, before=before, known=known)
        if begun.state is not State.SENDING or begun.fence != fence:
            return Sent(begun)  # it was sent before
        began: list[datetime] = []

        def before_sending() -> None:
            now = self._now()
            if begun.sent_at is None or now > begun.sent_at + SEND_WITHIN:
                raise _TooLate
            began.append(now)

        try:
            change = self._request(begun, api, before_sending, began)
            error = None
        except _TooLate:
            change, error = self._not_done("too_late", self._now()), None
        except NOT_DONE as held:
            change = self._not_done(held.reason, due_after(held, begun.attempts, self._now(), self._random))
            error = held
        except SyncError as failed:
            change, error = self._failed(failed), None
        return self._settled(begun, change, error)

    def _request(self, entry: Entry, api: Api, before_sending: Callable[[], None], began: list[datetime]) -> Change:
        """Send the request. Return the change of the entry after it succeeded. Raises what the client raises."""
        request, kind = entry.request, KINDS[entry.request.kind]
        fields = {**request.fields, **({"allow_overlapping": True} if request.allow_overlapping else {})}
        if request.action is Action.UPDATE:
            key: str | None = request.id
            api.update(kind, request.id or "", fields, before_sending=before_sending)
            version = self._written.fetch(api, kind, request.id or "", request.fields)
        else:
            duplicates = request.allow_duplicates
            record = api.create(kind, fields, allow_duplicates=duplicates, before_sending=before_sending)
            key = key_of(kind, record)
            if key is None:
                return self._lost("malformed_answer")
            version = self._written.keep(kind, key, record, began[-1])
        now = self._now()
        return lambda there, guard: transitions.done(there, guard, record_id=key or "", version=version, now=now)

    def _not_done(self, reason: str, due: datetime) -> Change:
        return lambda there, guard: (transitions.unsent(there, reason=reason, due=due), None)

    def _lost(self, reason: str) -> Change:
        now = self._now()
        return lambda there, guard: transitions.unknown(there, guard, reason=reason, now=now)

    def _failed(self, error: SyncError) -> Change:
        reason = refusal(error)
        if reason is None:
            return self._lost(error.reason)
        now, said = self._now(), complaints(error)
        return lambda there, guard: (transitions.rejected(there, reason=reason, complaints=said, now=now), None)

    def _settled(self, entry: Entry, change: Change, error: SyncError | None) -> Sent:
        try:
            settled = self._outbox.settle(entry, entry.fence or "", change)
        except (Blocked, Superseded, Unreadable):
            log("outbox.late", "ERROR", kind=entry.request.kind, delivery=shown_key(entry.key))
            return Sent(self._outbox.entries.get(entry.key), error)
        log_entry(settled, self._now())
        if isinstance(error, StoreUnavailable):
            raise error
        return Sent(settled, error)
