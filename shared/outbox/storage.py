"""The transitions of the collections `outbox` and `outbox_targets`: each in one transaction, under the target's guard.

The collections may be in a separate database, so that programs that write entries see no chart. Every method may raise
StoreUnavailable. It is then unknown whether the transition happened, and repeating it does no harm.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from shared.documents import Data, Documents, Transaction
from shared.outbox import entry_documents, transitions
from shared.outbox.entries import Entry, State
from shared.outbox.entry_documents import from_document, to_document
from shared.outbox.guarding import (
    guard_path,
    is_settled,
    may_have_been_sent,
    passed,
    put_guard,
    readable,
    release,
    target_of_document,
)
from shared.outbox.guards import Guard, Unreadable, guard_of, guard_to_document
from shared.outbox.queries import Entries, path_of
from shared.outbox.targets import target_of
from shared.outbox.transitions import LONGEST_PAUSE, Superseded
from shared.outbox.validation import Complaints, Request

MOST_SKEW = timedelta(minutes=1)  # between the clock that stamped the entry and ours

# The outcome of an attempt: the entry, and its guard, or None to remove the guard.
Change = Callable[[Entry, Guard], tuple[Entry, Guard | None]]


class Outbox:
    """entries: for reads outside of a transition. Raises Unreadable if the guard does not say what was sent."""

    def __init__(self, documents: Documents, now: Callable[[], datetime]) -> None:
        self.entries = Entries(documents)
        self._documents = documents
        self._now = now

    def admit(self, key: str, request: Request, *, local_time: str | None = None) -> Entry | None:
        """Make a new entry wait. local_time: of its `scheduled_at`. Return None if it was removed, and the entry
        unchanged if another process was first or it was sent before.
        """
        now = self._now()
        target = target_of(request)

        def work(transaction: Transaction) -> Entry | None:
            found = transaction.get(path_of(key))
            if found is None or (there := from_document(key, found)) is not None:
                return None if found is None else there
            entry = Entry(key, request, State.WAITING, target, _requested_at(found, now), due=now)
            # An entry that was sent before and then written again by its program is not new. If the guard cannot be
            # read, `begin` keeps it from being sent.
            entry = transitions.recalled(entry, readable(transaction.get(guard_path(target))), now)
            extra = {} if local_time is None else {"local_time": local_time}
            transaction.update(path_of(key), to_document(entry, now) | extra)
            return entry

        return self._documents.transact(work)

    def refuse(self, key: str, complaints: Complaints) -> State:
        """Reject an invalid entry. An entry that may have been sent before it was changed stays unknown."""
        now = self._now()

        def work(transaction: Transaction) -> State:
            found = transaction.get(path_of(key))
            if found is None or from_document(key, found) is not None:
                return State.NEW
            if may_have_been_sent(key, found, transaction):
                due = now + LONGEST_PAUSE
                transaction.update(path_of(key), entry_documents.malformed_document(found, complaints, now, due))
                return State.UNKNOWN
            transaction.update(path_of(key), entry_documents.refusal_document(found, complaints, now))
            return State.REJECTED

        return self._documents.transact(work)

    def begin(self, entry: Entry, *, fence: str, before: str | None, known: tuple[str, ...]) -> Entry:
        """Record that the entry is being sent, by the attempt `fence`.

        Return the resulting entry. It is not in `sending` with this fence if the guard shows that it was sent before.
        Raises Superseded, and Blocked if another entry of the target may have arrived and is not settled.
        """
        now = self._now()

        def work(transaction: Transaction) -> Entry:
            there, found = self._pair(transaction, entry)
            if there is None or there.target != entry.target:
                raise Superseded
            guard = guard_of(found)
            if guard is not None and guard.entry != entry.key and guard.state is not State.DONE:
                guard = passed(guard, transaction.get(path_of(guard.entry)), now)
            changed, held = transitions.begun(there, guard, fence=fence, now=now, before=before, known=known)
            transaction.update(path_of(entry.key), to_document(changed, now))
            transaction.set(guard_path(entry.target), guard_to_document(held, now))
            return changed

        return self._documents.transact(work)

    def settle(self, entry: Entry, fence: str, change: Change) -> Entry:
        """Record the outcome of the attempt `fence`, which `entry` shows. Raises Superseded.

        The entry may have been rewritten or removed meanwhile, so the guard decides. If the guard cannot be read, the
        entry that was written with it decides.
        """
        now = self._now()

        def work(transaction: Transaction) -> Entry:
            found = transaction.get_all([path_of(entry.key), guard_path(entry.target)])
            document = found.get(path_of(entry.key))
            there = None if document is None else from_document(entry.key, document)
            try:
                guard = guard_of(found.get(guard_path(entry.target)))
            except Unreadable:
                guard = transitions.guard_in(there)
                if guard is None:
                    raise
            changed, left = change(entry, transitions.held(entry, guard, fence))
            if document is not None:
                transaction.update(path_of(entry.key), to_document(changed, now))
            put_guard(transaction, entry.target, left or transitions.freed(guard), now)
            return changed

        return self._documents.transact(work)

    def change(self, entry: Entry, change: Callable[[Entry], Entry], *, free: bool = False) -> Entry:
        """Change an entry that is not being sent, if it was not changed meanwhile. Raises Superseded.

        free: a person says that it did not arrive. This removes its guard, also an unreadable one.
        """
        now = self._now()

        def work(transaction: Transaction) -> Entry:
            there, found = self._pair(transaction, entry)
            if there is None or there.state is not entry.state or there.fence != entry.fence:
                raise Superseded
            changed = change(there)
            transaction.update(path_of(entry.key), to_document(changed, now))
            if free:
                release(transaction, entry.key, entry.target, found, now)
            return changed

        return self._documents.transact(work)

    def clear(self, key: str) -> None:
        """Reject an unreadable entry, for a person, and remove its guard. Raises Superseded if it can be read."""
        now = self._now()

        def work(transaction: Transaction) -> None:
            found = transaction.get(path_of(key))
            if found is None or from_document(key, found) is not None:
                raise Superseded
            target = target_of_document(found)
            guard = transaction.get(guard_path(target)) if target is not None else None
            complaints = found["complaints"] if isinstance(found.get("complaints"), dict) else {}
            cleared = entry_documents.refusal_document(found, complaints, now) | {"reason": "cancelled"}
            transaction.update(path_of(key), cleared)
            if target is not None:
                release(transaction, key, target, guard, now)

        self._documents.transact(work)

    def empty(self, key: str) -> bool:
        """Remove the content of an expired entry. Return whether that was done."""
        now = self._now()

        def work(transaction: Transaction) -> bool:
            found = transaction.get(path_of(key))
            expires_at = None if found is None else found.get("expires_at")
            if found is None or not isinstance(expires_at, datetime) or expires_at > now or not is_settled(found):
                return False
            transaction.set(path_of(key), entry_documents.emptied(found, now))
            return True

        return self._documents.transact(work)

    def _pair(self, transaction: Transaction, entry: Entry) -> tuple[Entry | None, Data | None]:
        """Return the entry, and the document of its guard."""
        paths = [path_of(entry.key), guard_path(entry.target)]
        found = transaction.get_all(paths)
        document = found.get(paths[0])
        there = None if document is None else from_document(entry.key, document)
        return there, found.get(paths[1])


def _requested_at(data: Data, now: datetime) -> datetime:
    """Return the program's time, unless it is missing or invalid. Entries of one record are sent in this order."""
    given = data.get("requested_at")
    if not isinstance(given, datetime) or given.tzinfo is None:
        return now
    return given if given <= now + MOST_SKEW else now
