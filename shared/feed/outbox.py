"""The collection `feed`: what is to be announced, and which relay may announce it.

An entry is written in the transaction of its change. A relay may send for a record while it holds the record's lease.
It sends one version at a time, and the next one only once the store has the answer to the one before. So a version that
was sent without an answer is sent again before anything newer, and no relay sends an older version after a newer one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from shared.documents import Data, Documents, Transaction
from shared.feed.document import (
    Lease,
    after_sending,
    is_leased,
    lease_fields,
    new_document,
    next_entry,
    path_of,
    record_of,
    waiting_in,
)
from shared.feed.entries import (
    COLLECTION,
    META,
    Entry,
    appended,
    as_document,
    name_of,
)

# Enough for some rounds of a relay. A crashed process blocks a record for no longer.
LEASE = timedelta(seconds=20)


class Lag(NamedTuple):
    """records: how many have waiting entries. oldest: since when the oldest waits, None if none does."""

    records: int
    oldest: datetime | None


class Target(NamedTuple):
    """A record whose current state is to be announced again."""

    kind: str
    id: str

    @property
    def name(self) -> str:
        return name_of(self.kind, self.id)


class Outbox:
    """Every method may raise StoreUnavailable."""

    def __init__(self, documents: Documents, now: Callable[[], datetime]) -> None:
        self._documents = documents
        self._now = now

    def add(
        self, transaction: Transaction, entries: Sequence[Entry], lease: Lease | None, *, new: bool
    ) -> dict[str, Entry]:
        """Add these entries, one for each record. Return what may be sent under `lease`: the oldest entry of each
        record that the lease was taken for.

        new: no entry waits for any of the records, so nothing is read. If one does, `transact` raises DocumentExists.
        """
        now = self._now()
        found = {} if new else transaction.get_all([path_of(entry.name) for entry in entries])
        held: dict[str, Entry] = {}
        for entry in entries:
            path = path_of(entry.name)
            document = found.get(path) or new_document(entry.kind, entry.id, entry.stored_at)
            waiting = appended(waiting_in(document), entry)
            taken = lease is not None and not is_leased(document, now)
            document = document | {"waiting": list(map(as_document, waiting))} | (lease_fields(lease) if taken else {})
            if new:
                transaction.create(path, document)
            else:
                transaction.set(path, document)
            if taken:
                held[entry.name] = waiting[0]
        return held

    def ask_again(self, targets: Sequence[Target]) -> None:
        """Have the current state of these records announced again, after the entries that wait for each."""
        now = self._now()
        paths = {path_of(target.name): target for target in targets}

        def work(transaction: Transaction) -> None:
            found = transaction.get_all(list(paths))
            for path, target in paths.items():
                document = found.get(path) or new_document(*target, now)
                transaction.set(path, document | {"replay": document["replay"] or now})

        self._documents.transact(work)

    def claim(self, names: Sequence[str], lease: Lease) -> dict[str, Entry]:
        """Take the lease of those of these records that no other relay holds. Return what to send, by name."""
        now = self._now()

        def free(document: Data) -> bool:
            return not is_leased(document, now)

        return self._turn(names, free, lambda name: None, lease)

    def acknowledged(self, sent: Mapping[str, Entry], held: Lease, lease: Lease | None) -> dict[str, Entry]:
        """Remove what the broker acknowledged. Return what to send next under `lease`, by record; None releases them.

        A record that another relay has taken over since stays with that relay.
        """

        def mine(document: Data) -> bool:
            return bool(document["fence"] == held.fence)

        return self._turn(list(sent), mine, sent.get, lease)

    def _turn(
        self,
        names: Sequence[str],
        may: Callable[[Data], bool],
        sent: Callable[[str], Entry | None],
        lease: Lease | None,
    ) -> dict[str, Entry]:
        paths = {path_of(name): name for name in names}

        def work(transaction: Transaction) -> dict[str, Entry]:
            found = transaction.get_all(list(paths))
            found = {
                path: after_sending(document, sent(paths[path])) for path, document in found.items() if may(document)
            }
            # A stored change is always written together with its document in `feed`. This transaction has read that
            # document and fails if anyone else writes it. So every version that is read now was announced.
            again = {path: record_of(one) for path, one in found.items() if one["replay"] and not one["waiting"]}
            records = transaction.get_all(list(again.values()), [META]) if again else {}
            following: dict[str, Entry] = {}
            for path, document in found.items():
                entry = next_entry(document, records.get(again.get(path, "")))
                if entry is None:
                    transaction.delete(path)
                    continue
                transaction.set(path, document | lease_fields(lease))
                if lease is not None:
                    following[paths[path]] = entry
            return following

        return self._documents.transact(work) if paths else {}

    def names(self, after: str | None, most: int) -> list[str]:
        """Return the names of the next documents."""
        found = self._documents.query(COLLECTION, after_id=after, limit=most, fields=["kind"])
        return [name for name, _ in found]

    def lag(self) -> Lag:
        """Costs one read, and one for each thousand documents."""
        oldest = [data["since"] for _, data in self._documents.query(COLLECTION, order_by=["since"], limit=1)]
        return Lag(self._documents.count(COLLECTION), oldest[0] if oldest else None)
