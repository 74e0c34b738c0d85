"""The collections `outbox` and `outbox_targets`: each transition in one transaction, under the guard of its target.

They may be in a database of their own, so that the programs that write entries see no chart. Every method may raise
StoreUnavailable: then it is not known whether the transition happened, and doing it again does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, timezone

from shared.documents import Data, Documents, Transaction, Where
from shared.outbox import transitions
from shared.outbox.entries import (
    ACTIVE,
    COLLECTION,
    TARGETS,
    Entry,
    Guard,
    State,
    from_document,
    guard_of,
    guard_to_document,
    is_instant,
    is_taken,
    refusal_document,
    target_of,
    to_document,
)
from shared.outbox.transitions import Blocked, Superseded
from shared.outbox.validation import Action, Complaints, Request

BEGINNING = datetime(2009, 1, 1, tzinfo=timezone.utc)
WALKED_DOCUMENTS = 300
MOST_SKEW = timedelta(minutes=1)  # between the clock that stamped the entry and ours

# What becomes of an attempt: the entry, and its guard or None where that goes.
Change = Callable[[Entry, Guard], tuple[Entry, Guard | None]]


class Outbox:
    def __init__(self, documents: Documents, now: Callable[[], datetime]) -> None:
        self._documents = documents
        self._now = now

    def read(self, key: str) -> Data | None:
        """The whole document, whatever is in it."""
        return self._documents.get(_path(key))

    def get(self, key: str) -> Entry | None:
        found = self.read(key)
        return None if found is None else from_document(key, found)

    def admit(self, key: str, request: Request, *, local_time: str | None = None) -> Entry | None:
        """Let a new entry wait. local_time: of its `scheduled_at`. None where it is gone; the entry as it is where
        somebody else was first, or where it was sent before. Raises Blocked.
        """
        now = self._now()

        target = target_of(request)

        def work(transaction: Transaction) -> Entry | None:
            found = transaction.get(_path(key))
            if found is None or (there := from_document(key, found)) is not None:
                return None if found is None else there
            entry = Entry(key, request, State.WAITING, target, _requested_at(found, now), due=now)
            # One that was sent before, and then written again by its program, is not new.
            entry = transitions.recalled(entry, _guard_of(transaction.get(_guard_path(target))), now)
            extra = {} if local_time is None else {"local_time": local_time}
            transaction.update(_path(key), to_document(entry, now) | extra)
            return entry

        return self._documents.transact(work)

    def refuse(self, key: str, complaints: Complaints) -> None:
        """Reject a new entry that is no request."""
        now = self._now()

        def work(transaction: Transaction) -> None:
            found = transaction.get(_path(key))
            if found is not None and from_document(key, found) is None:
                transaction.update(_path(key), refusal_document(found, complaints, now))

        self._documents.transact(work)

    def begin(self, entry: Entry, *, fence: str, before: str | None, known: tuple[str, ...]) -> Entry:
        """Record that the entry is being sent, by the attempt `fence`.

        Returns it as it is then: not in `sending` with this fence where it was sent before, and had forgotten it.
        Raises Superseded, and Blocked where another entry of the target may have arrived and is not settled.
        """
        now = self._now()

        def work(transaction: Transaction) -> Entry:
            found, guard = self._pair(transaction, entry)
            there = None if found is None else from_document(entry.key, found)
            if there is None or there.target != entry.target:
                raise Superseded
            if guard is not None and guard.entry != entry.key and guard.state is not State.DONE:
                holder = transaction.get(_path(guard.entry))
                if holder is None:
                    guard = transitions.freed(guard)  # somebody removed the entry that held it
            changed, held = transitions.begun(there, guard, fence=fence, now=now, before=before, known=known)
            transaction.update(_path(entry.key), to_document(changed, now))
            transaction.set(_guard_path(entry.target), guard_to_document(held, now))
            return changed

        return self._documents.transact(work)

    def settle(self, entry: Entry, fence: str, change: Change) -> Entry:
        """Apply what became of the attempt `fence`, which `entry` shows. Raises Superseded.

        The entry may have been written again, or removed, meanwhile: the guard knows.
        """
        now = self._now()

        def work(transaction: Transaction) -> Entry:
            found, guard = self._pair(transaction, entry)
            changed, left = change(entry, transitions.held(entry, guard, fence))
            if found is not None:
                transaction.update(_path(entry.key), to_document(changed, now))
            _put_guard(transaction, entry, left or transitions.freed(guard), now)
            return changed

        return self._documents.transact(work)

    def change(self, entry: Entry, change: Callable[[Entry], Entry], *, free: bool = False) -> Entry:
        """Change an entry that is not being sent, if nobody did meanwhile. free: its guard goes. Raises Superseded."""
        now = self._now()

        def work(transaction: Transaction) -> Entry:
            found, guard = self._pair(transaction, entry)
            there = None if found is None else from_document(entry.key, found)
            if there is None or there.state is not entry.state or there.fence != entry.fence:
                raise Superseded
            changed = change(there)
            transaction.update(_path(entry.key), to_document(changed, now))
            if free and guard is not None and guard.entry == entry.key:
                _put_guard(transaction, entry, transitions.freed(guard), now)
            return changed

        return self._documents.transact(work)

    def _pair(self, transaction: Transaction, entry: Entry) -> tuple[Data | None, Guard | None]:
        paths = [_path(entry.key), _guard_path(entry.target)]
        found = transaction.get_all(paths)
        return found.get(paths[0]), _guard_of(found.get(paths[1]))

    def before(self, entry: Entry) -> tuple[str | None, Entry | None]:
        """The key of an entry that comes before this one (being sent, unknown, or asked for earlier), and the last
        entry of the target that is done; None where there is none.

        Updates are found by what their programs wrote, so also those that nobody has looked at yet.
        """
        first: str | None = None
        done: list[Entry] = []
        for key, data in self._same(entry):
            state, requested_at = data.get("state"), data.get("requested_at")
            if key == entry.key:
                continue
            if state == State.DONE and (other := from_document(key, data)) is not None:
                done.append(other)
            waits = state == State.WAITING or not is_taken(data)
            earlier = waits and is_instant(requested_at) and (requested_at, key) < entry.order
            if state in (State.SENDING, State.UNKNOWN) or earlier:
                first = key
        return first, max(done, key=lambda other: other.settled_at or BEGINNING, default=None)

    def next_of_target(self, entry: Entry) -> str | None:
        """The key of the entry that waits longest for the target of one that is settled."""
        waiting = [other for key, data in self._same(entry) if (other := from_document(key, data)) is not None]
        waiting = [other for other in waiting if other.state is State.WAITING and other.key != entry.key]
        return min(waiting, key=lambda other: other.order).key if waiting else None

    def _same(self, entry: Entry) -> Iterator[tuple[str, Data]]:
        if entry.request.action is Action.CREATE:
            yield from self._documents.query(COLLECTION, [Where("target", "==", entry.target)])
            return
        key = entry.request.id or ""
        for value in (key, int(key)) if key.isascii() and key.isdecimal() else (key,):
            # Both are equalities, for which Firestore needs no index of their own.
            where = [Where("kind", "==", entry.request.kind), Where("id", "==", value)]
            yield from self._documents.query(COLLECTION, where)

    def claimed(self, kind: str, ids: Sequence[str], *, by_others_than: str) -> frozenset[str]:
        """Those of the ids that are records which other entries made."""
        return frozenset(
            record
            for record in ids
            for key, data in self._documents.query(COLLECTION, [Where("record_id", "==", record)], fields=["kind"])
            if key != by_others_than and data.get("kind") == kind
        )

    def due(self, state: State, now: datetime, most: int) -> list[str]:
        """Keys of the entries in a state that are due, longest first."""
        where = [Where("state", "==", str(state)), Where("due", "<=", now)]
        found = self._documents.query(COLLECTION, where, order_by=["due"], limit=most, fields=["due"])
        return [key for key, _ in found]

    def new(self, most: int) -> list[str]:
        """Keys of entries that nobody has looked at. The collection is read only where the counts say that there are
        some: a program need not write a field by which they can be asked for.
        """
        everything = self._documents.count(COLLECTION)
        if everything == self._documents.count(COLLECTION, [Where("due", ">=", BEGINNING)]):
            return []
        found: list[str] = []
        after: str | None = None
        while len(found) < most:
            fields = ["state", "due"]
            page = list(self._documents.query(COLLECTION, limit=WALKED_DOCUMENTS, after_id=after, fields=fields))
            found += [key for key, data in page if not is_taken(data)]
            if len(page) < WALKED_DOCUMENTS:
                break
            after = page[-1][0]
        return found[:most]

    def count(self, state: State) -> int:
        return self._documents.count(COLLECTION, [Where("state", "==", str(state))])

    def backlog(self) -> int:
        """How many entries are not settled, those that nobody has looked at included."""
        return self._documents.count(COLLECTION) - self.count(State.DONE) - self.count(State.REJECTED)

    def all_in(self, state: State, most: int) -> list[Entry]:
        found = self._documents.query(COLLECTION, [Where("state", "==", str(state))], limit=most)
        return [entry for key, data in found if (entry := from_document(key, data)) is not None]

    def active(self, most: int) -> list[Entry]:
        """Up to `most` entries of each active state, oldest first."""
        return sorted((entry for state in ACTIVE for entry in self.all_in(state, most)), key=lambda entry: entry.order)


def _guard_of(data: Data | None) -> Guard | None:
    """Raises Blocked for a guard that cannot be read: nothing is sent past it."""
    try:
        return guard_of(data)
    except ValueError:
        raise Blocked("?") from None


def _put_guard(transaction: Transaction, entry: Entry, guard: Guard | None, now: datetime) -> None:
    if guard is None:
        transaction.delete(_guard_path(entry.target))
    else:
        transaction.set(_guard_path(entry.target), guard_to_document(guard, now))


def _requested_at(data: Data, now: datetime) -> datetime:
    """The program's time, unless it is missing or nonsense: entries of one record are sent in this order."""
    given = data.get("requested_at")
    if not isinstance(given, datetime) or given.tzinfo is None:
        return now
    return given if given <= now + MOST_SKEW else now


def _path(key: str) -> str:
    return f"{COLLECTION}/{key}"


def _guard_path(target: str) -> str:
    return f"{TARGETS}/{target}"
