"""Send the entries of a target in order, from the document that a program added to the result in it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from shared.errors import StoreUnavailable, SyncError
from shared.outbox import transitions
from shared.outbox.admission import Admission
from shared.outbox.attempt import Api, Attempts, Sent
from shared.outbox.entries import Entry, State
from shared.outbox.entry_documents import from_document, is_taken
from shared.outbox.entry_log import log_entry, log_no_request
from shared.outbox.guards import Unreadable
from shared.outbox.lanes import Lanes
from shared.outbox.precondition import Precondition
from shared.outbox.storage import Outbox
from shared.outbox.transitions import LONGEST_PAUSE, MALFORMED_GUARD, Blocked, Superseded
from shared.outbox.validation import Action
from shared.queue.entries import due_after

# How many entries of one target a sender sends in sequence. The next run sends the rest.
MOST_IN_A_ROW = 20

BLOCKED_PAUSE = timedelta(minutes=1)


class Sender:
    def __init__(
        self,
        *,
        lanes: Lanes[Api],
        outbox: Outbox,
        admission: Admission,
        precondition: Precondition,
        attempts: Attempts,
        now: Callable[[], datetime],
        random: Callable[[], float],
    ) -> None:
        self._lanes = lanes
        self._outbox = outbox
        self._admission = admission
        self._precondition = precondition
        self._attempts = attempts
        self._now = now
        self._random = random

    def send(self, key: str) -> Sent:
        """Send the entry if it is its turn, and then those of its target that waited for it.

        Raises StoreUnavailable; even then, an entry that was recorded as being sent is not sent again.
        """
        sent = self._send(key)
        self.follow(sent)
        return sent

    def follow(self, sent: Sent) -> None:
        """Send the entries that waited for an entry that is now settled."""
        for _ in range(MOST_IN_A_ROW):
            if sent.error is not None or sent.entry is None or not sent.entry.settled:
                return
            key = self._outbox.entries.next_of_target(sent.entry)
            if key is None:
                return
            sent = self._send(key, waited=True)

    def _send(self, key: str, *, waited: bool = False) -> Sent:
        data = self._outbox.entries.read(key)
        if data is None or (is_taken(data) and data["state"] in (State.DONE, State.REJECTED)):
            return Sent(None if data is None else from_document(key, data))
        api = self._lanes.api()
        try:
            entry = from_document(key, data) or self._admission.admit(key, data, api)
            if entry is None:
                log_no_request(key)
                return Sent(None)
            may = entry.due <= self._now() or (waited and entry.reason == "blocked")
            return self._in_turn(entry, api) if entry.state is State.WAITING and may else Sent(entry)
        except StoreUnavailable:
            raise
        except SyncError as error:  # before anything was sent
            return Sent(None, error)

    def _in_turn(self, entry: Entry, api: Api) -> Sent:
        """Send a waiting entry, if no entry of its target comes before it."""
        try:
            first, last = self._outbox.entries.before(entry)
            if first is not None:
                raise Blocked(first)
            update = entry.request.action is Action.UPDATE
            hold = self._precondition.check(entry, last, api) if update else None
            if hold is not None and hold.due is not None:
                return self._postponed(entry, hold.reason, hold.due)
            if hold is not None:
                return Sent(self._reject(entry, hold.reason))
            return self._attempts.send(entry, api)
        except Unreadable:  # unknown what was sent: a person must look
            postponed = self._postponed(entry, MALFORMED_GUARD, self._now() + LONGEST_PAUSE)
            if postponed.entry is not None:
                log_entry(postponed.entry, self._now())
            return postponed
        except Blocked:
            return self._postponed(entry, "blocked", self._now() + BLOCKED_PAUSE)
        except Superseded:
            return Sent(self._outbox.entries.get(entry.key))
        except StoreUnavailable:
            raise
        except SyncError as error:  # before anything was sent
            due = due_after(error, 0, self._now(), self._random)
            return Sent(self._postponed(entry, error.reason, due).entry, error)

    def _postponed(self, entry: Entry, reason: str, due: datetime) -> Sent:
        try:
            return Sent(self._outbox.change(entry, lambda there: transitions.unsent(there, reason=reason, due=due)))
        except Superseded:
            return Sent(self._outbox.entries.get(entry.key))

    def _reject(self, entry: Entry, reason: str) -> Entry:
        """Reject an entry that was not sent."""
        now = self._now()
        rejected = self._outbox.change(
            entry, lambda there: transitions.rejected(there, reason=reason, complaints={}, now=now)
        )
        log_entry(rejected, now)
        return rejected
