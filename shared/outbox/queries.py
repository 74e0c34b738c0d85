"""Queries on the collection `outbox`: which entries are due, which belong together, how many there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from shared.documents import Data, Documents, Where
from shared.drchrono.ids import id_of, spellings
from shared.outbox.entries import ACTIVE, COLLECTION, TAKEN, Entry, State, is_instant
from shared.outbox.entry_documents import from_document, is_request, is_taken, named
from shared.outbox.summary import Summary, summary_of
from shared.outbox.targets import record_target
from shared.outbox.validation import Action

BEGINNING = datetime(2009, 1, 1, tzinfo=timezone.utc)
WALKED_DOCUMENTS = 300


@dataclass(frozen=True)
class Due:
    """An entry whose turn it may be. target: "" if it is new and a creation. asked: when it was requested, for the
    order.
    """

    key: str
    target: str
    asked: datetime


class Entries:
    """Every method may raise StoreUnavailable."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def read(self, key: str) -> Data | None:
        """Return the whole document, valid or not."""
        return self._documents.get(path_of(key))

    def get(self, key: str) -> Entry | None:
        found = self.read(key)
        return None if found is None else from_document(key, found)

    def before(self, entry: Entry) -> tuple[str | None, Entry | None]:
        """Return the key of an entry that comes before this one (being sent, unknown, or requested earlier), and the
        last entry of the target that is done; None if there is none.

        Updates are found by what their programs wrote, so this includes new ones. An invalid entry comes before none;
        the target's guard records whether it was sent.
        """
        first: str | None = None
        done: list[Entry] = []
        for key, data in self._same(entry):
            if key == entry.key:
                continue
            other, requested_at = from_document(key, data), data.get("requested_at")
            if other is not None and other.state is State.DONE:
                done.append(other)
            waits = other.state is State.WAITING if other is not None else _is_new(data)
            earlier = waits and is_instant(requested_at) and (requested_at, key) < entry.order
            if earlier or (other is not None and other.state in (State.SENDING, State.UNKNOWN)):
                first = key
        return first, max(done, key=lambda other: other.settled_at or BEGINNING, default=None)

    def next_of_target(self, entry: Entry) -> str | None:
        """Return the key of the entry that has waited longest for the target of a settled entry."""
        waiting = [other for key, data in self._same(entry) if (other := from_document(key, data)) is not None]
        waiting = [other for other in waiting if other.state is State.WAITING and other.key != entry.key]
        return min(waiting, key=lambda other: other.order).key if waiting else None

    def _same(self, entry: Entry) -> Iterator[tuple[str, Data]]:
        if entry.request.action is Action.CREATE:
            yield from self._documents.query(COLLECTION, [Where("target", "==", entry.target)])
            return
        for value in spellings(entry.request.id or ""):
            # Firestore needs no composite index for two equalities.
            where = [Where("kind", "==", entry.request.kind), Where("id", "==", value)]
            yield from self._documents.query(COLLECTION, where)

    def claimed(self, kind: str, ids: Sequence[str], *, by_others_than: str) -> frozenset[str]:
        """Return those of the ids whose records other entries created."""
        return frozenset(
            record
            for record in ids
            for key, data in self._documents.query(COLLECTION, [Where("record_id", "==", record)], fields=["kind"])
            if key != by_others_than and data.get("kind") == kind
        )

    def due(self, state: State, now: datetime, most: int) -> list[Due]:
        """Return the due entries in a state, the longest due first."""
        where = [Where("state", "==", str(state)), Where("due", "<=", now)]
        fields = ["due", "target", "requested_at"]
        found = self._documents.query(COLLECTION, where, order_by=["due"], limit=most, fields=fields)
        return [Due(key, str(data.get("target") or ""), _asked(data)) for key, data in found]

    def new(self, most: int) -> list[Due]:
        """Return the new entries. The collection is read only if the counts show that there are some, because no field
        that programs must write selects them.
        """
        everything = self._documents.count(COLLECTION)
        without_due = everything - self._documents.count(COLLECTION, [Where("due", ">=", BEGINNING)])
        missing = without_due + everything - sum(self.count(state) for state in TAKEN)  # at most so many
        found: list[Due] = []
        after: str | None = None
        fields = ["state", "due", "kind", "action", "id", "requested_at"]
        while len(found) < min(most, missing):
            page = list(self._documents.query(COLLECTION, limit=WALKED_DOCUMENTS, after_id=after, fields=fields))
            found += [Due(key, _target(data), _asked(data)) for key, data in page if not is_taken(data)]
            if len(page) < WALKED_DOCUMENTS:
                break
            after = page[-1][0]
        return found[:most]

    def expired(self, now: datetime, most: int) -> list[str]:
        """Return the keys of entries whose content is to be removed, the oldest first."""
        where = [Where("expires_at", "<=", now)]
        found = self._documents.query(COLLECTION, where, order_by=["expires_at"], limit=most, fields=["expires_at"])
        return [key for key, _ in found]

    def count(self, state: State) -> int:
        return self._documents.count(COLLECTION, [Where("state", "==", str(state))])

    def backlog(self) -> int:
        """Return how many entries are not settled, including new ones."""
        return self._documents.count(COLLECTION) - self.count(State.DONE) - self.count(State.REJECTED)

    def summaries(self, state: State, most: int, *, since: datetime = BEGINNING) -> list[Summary]:
        """Return up to `most` entries in a state, valid or not. since: omit those that were settled earlier."""
        where = [Where("state", "==", str(state)), Where("due", ">=", since)]
        found = self._documents.query(COLLECTION, where, order_by=["due"], limit=most)
        return [summary_of(key, data) for key, data in found]

    def unseen(self, most: int) -> list[Summary]:
        """Return up to `most` new entries."""
        found = self._documents.get_all([path_of(due.key) for due in self.new(most)])
        return [summary_of(path.partition("/")[2], data) for path, data in found.items()]

    def active(self, most: int) -> list[Summary]:
        """Return up to `most` entries of each active state, oldest first."""
        found = [one for state in ACTIVE for one in self.summaries(state, most)]
        return sorted(found, key=lambda one: (one.requested_at or BEGINNING, one.entry))


def path_of(key: str) -> str:
    return f"{COLLECTION}/{key}"


def _is_new(data: Data) -> bool:
    return not is_taken(data) and is_request(data)


def _target(data: Mapping[str, Any]) -> str:
    """Return the target of a new entry: that of an update, as `shared.outbox.targets` will name it."""
    shown = named(data)
    key = id_of(shown.get("id"))
    return record_target(shown["kind"], key) if key is not None and "kind" in shown else ""


def _asked(data: Mapping[str, Any]) -> datetime:
    asked = data.get("requested_at")
    return asked if isinstance(asked, datetime) and is_instant(asked) else BEGINNING
