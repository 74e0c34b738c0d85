"""Send one entry, once: from the document that a program added to the answer in it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from shared.drchrono.kinds import KINDS, Kind, key_of
from shared.drchrono.records import Fetched
from shared.errors import StoreUnavailable, SyncError
from shared.log import Fields, log
from shared.outbox import transitions
from shared.outbox.admission import Admission
from shared.outbox.answers import NOT_DONE, complaints, refusal
from shared.outbox.entries import Entry, State, from_document, is_taken
from shared.outbox.precondition import Precondition
from shared.outbox.search import Search
from shared.outbox.storage import Change, Outbox
from shared.outbox.transitions import SEND_WITHIN, Blocked, Superseded
from shared.outbox.validation import Action
from shared.outbox.written import Written
from shared.queue.entries import due_after
from shared.rate_limit.ledger import Lane

# Of more entries than these each leaves the live share of the quota to DrChrono's events.
BURST = 20

# Entries of one target that are sent one after another by one sender; the next run takes the rest.
MOST_IN_A_ROW = 20

BLOCKED_PAUSE = timedelta(minutes=1)


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
    """entry: as it is now; None where there is none. error: what kept it from being sent, and may keep others."""

    entry: Entry | None
    error: SyncError | None = None

    @property
    def outcome(self) -> str:
        return "none" if self.entry is None else str(self.entry.state)


class _TooLate(Exception):
    """So long after `sending` was recorded nothing may be sent any more. Nothing was."""


class Sender:
    """apis: the client in each lane. new_fence: gives a name that no other attempt has."""

    def __init__(
        self,
        *,
        apis: Mapping[Lane, Api],
        outbox: Outbox,
        admission: Admission,
        search: Search,
        precondition: Precondition,
        written: Written,
        now: Callable[[], datetime],
        random: Callable[[], float],
        new_fence: Callable[[], str],
    ) -> None:
        self._apis = apis
        self._outbox = outbox
        self._admission = admission
        self._search = search
        self._precondition = precondition
        self._written = written
        self._now = now
        self._random = random
        self._new_fence = new_fence

    def send(self, key: str) -> Sent:
        """Send the entry if it is its turn, and then those of its target that waited for it.

        Raises StoreUnavailable. An entry that was recorded as being sent is not sent again for that.
        """
        sent = self._send(key)
        self.follow(sent)
        return sent

    def follow(self, sent: Sent) -> None:
        """Send what waited for an entry that is settled now."""
        for _ in range(MOST_IN_A_ROW):
            if sent.error is not None or sent.entry is None or not sent.entry.settled:
                return
            key = self._outbox.next_of_target(sent.entry)
            if key is None:
                return
            sent = self._send(key, waited=True)

    def _send(self, key: str, *, waited: bool = False) -> Sent:
        data = self._outbox.read(key)
        if data is None or (is_taken(data) and data["state"] in (State.DONE, State.REJECTED)):
            return Sent(None if data is None else from_document(key, data))
        api = self._apis[Lane.LIVE if self._outbox.backlog() <= BURST else Lane.BACKGROUND]
        try:
            entry = from_document(key, data) or self._admission.admit(key, data, api)
            if entry is None:
                log("outbox.settled", outcome="rejected", reason="invalid", delivery=shown_key(key))
                return Sent(None)
            may = entry.due <= self._now() or (waited and entry.reason == "blocked")
            return self._in_turn(entry, api) if entry.state is State.WAITING and may else Sent(entry)
        except StoreUnavailable:
            raise
        except Blocked:  # its guard cannot be read: a person must look
            return Sent(None)
        except SyncError as error:  # before anything was sent
            return Sent(None, error)

    def _in_turn(self, entry: Entry, api: Api) -> Sent:
        """Send an entry that waits, if none of its target comes before it."""
        try:
            first, last = self._outbox.before(entry)
            if first is not None:
                raise Blocked(first)
            update = entry.request.action is Action.UPDATE
            hold = self._precondition.check(entry, last, api) if update else None
            if hold is not None and hold.due is not None:
                return self._postponed(entry, hold.reason, hold.due)
            if hold is not None:
                return Sent(self._reject(entry, hold.reason))
            return self._begin(entry, api)
        except Blocked:
            return self._postponed(entry, "blocked", self._now() + BLOCKED_PAUSE)
        except Superseded:
            return Sent(self._outbox.get(entry.key))
        except StoreUnavailable:
            raise
        except SyncError as error:  # before anything was sent
            due = due_after(error, 0, self._now(), self._random)
            return Sent(self._postponed(entry, error.reason, due).entry, error)

    def _postponed(self, entry: Entry, reason: str, due: datetime) -> Sent:
        try:
            return Sent(self._outbox.change(entry, lambda there: transitions.unsent(there, reason=reason, due=due)))
        except (Blocked, Superseded):
            return Sent(self._outbox.get(entry.key))

    def _reject(self, entry: Entry, reason: str) -> Entry:
        """Reject an entry that was not sent."""
        now = self._now()
        rejected = self._outbox.change(
            entry, lambda there: transitions.rejected(there, reason=reason, complaints={}, now=now)
        )
        _log(rejected, now)
        return rejected

    def _begin(self, entry: Entry, api: Api) -> Sent:
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
        """The change of the entry after DrChrono did it. Raises what the client raises."""
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
        except (Blocked, Superseded):
            log("outbox.late", "ERROR", kind=entry.request.kind, delivery=shown_key(entry.key))
            return Sent(self._outbox.get(entry.key), error)
        _log(settled, self._now())
        if isinstance(error, StoreUnavailable):
            raise error
        return Sent(settled, error)


def shown_key(key: str) -> str:
    """The name of an entry for the log: a program may have put more into a name of its own than into Firestore's."""
    return key if re.fullmatch(r"[A-Za-z0-9]{20}", key) else f"#{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def _log(entry: Entry, now: datetime) -> None:
    fields: Fields = {
        "kind": entry.request.kind,
        "outcome": str(entry.state),
        "reason": entry.reason,
        "attempt": entry.attempts,
        "delivery": shown_key(entry.key),
        "seconds": round((now - entry.requested_at).total_seconds(), 3),
    }
    if entry.settled:
        log("outbox.settled", **fields)
    else:
        log("outbox.unsettled", "WARNING" if entry.state is State.UNKNOWN else "INFO", **fields)
