"""The collection `feed`: what waits to be told, and who may tell it.

An entry is written in the transaction of its change. A relay may send for a record while it holds the record's lease,
and sends one version at a time: the next one only when the store has the answer to the one before it. So what was sent
and not answered is sent again before anything newer, and after a newer version no relay sends an older one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from shared.documents import Data, Documents, Transaction
from shared.feed.entries import (
    COLLECTION,
    META,
    Entry,
    Operation,
    appended,
    as_document,
    from_document,
    name_of,
    version_of,
    without,
)

# As long as a relay needs for some rounds: a process that died holds a record up for no longer.
LEASE = timedelta(seconds=20)


@dataclass(frozen=True)
class Lease:
    fence: str
    until: datetime


class Lag(NamedTuple):
    """records: of how many something waits. oldest: since when, None where nothing does."""

    records: int
    oldest: datetime | None


class Target(NamedTuple):
    """A record whose present state is to be told again."""

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
        """Let these entries wait, one for each record. Returns what may be sent under `lease`: of each record to which
        it is given, the oldest entry.

        new: nothing waits for any of the records, so that nothing is read; if something does, `transact` raises
        DocumentExists.
        """
        now = self._now()
        found = {} if new else transaction.get_all([_path(entry.name) for entry in entries])
        held: dict[str, Entry] = {}
        for entry in entries:
            path = _path(entry.name)
            document = found.get(path) or _document(entry.kind, entry.id, entry.stored_at)
            waiting = appended(_waiting(document), entry)
            taken = lease is not None and not _is_leased(document, now)
            document = document | {"waiting": list(map(as_document, waiting))} | (_given(lease) if taken else {})
            if new:
                transaction.create(path, document)
            else:
                transaction.set(path, document)
            if taken:
                held[entry.name] = waiting[0]
        return held

    def ask_again(self, targets: Sequence[Target]) -> None:
        """Have the present state of these records told again, behind what waits for each."""
        now = self._now()
        paths = {_path(target.name): target for target in targets}

        def work(transaction: Transaction) -> None:
            found = transaction.get_all(list(paths))
            for path, target in paths.items():
                document = found.get(path) or _document(*target, now)
                transaction.set(path, document | {"replay": document["replay"] or now})

        self._documents.transact(work)

    def claim(self, names: Sequence[str], lease: Lease) -> dict[str, Entry]:
        """Take the lease of those of these records that no other relay has. Returns what is to be sent, by name."""
        now = self._now()

        def free(document: Data) -> bool:
            return not _is_leased(document, now)

        return self._turn(names, free, lambda name: None, lease)

    def told(self, sent: Mapping[str, Entry], held: Lease, lease: Lease | None) -> dict[str, Entry]:
        """The broker has these. Returns what is to be sent next under `lease`, by name; None gives the records back.

        What another relay has taken over since stays with it.
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
        paths = {_path(name): name for name in names}

        def work(transaction: Transaction) -> dict[str, Entry]:
            found = transaction.get_all(list(paths))
            found = {path: _after(document, sent(paths[path])) for path, document in found.items() if may(document)}
            # A stored change is always written together with its document in `feed`. That is here, and will be written
            # only if nobody else does so meanwhile: so of what is read now, every version was told.
            again = {path: _record_of(one) for path, one in found.items() if one["replay"] and not one["waiting"]}
            records = transaction.get_all(list(again.values()), [META]) if again else {}
            following: dict[str, Entry] = {}
            for path, document in found.items():
                entry = _next(document, records.get(again.get(path, "")))
                if entry is None:
                    transaction.delete(path)
                    continue
                transaction.set(path, document | _given(lease))
                if lease is not None:
                    following[paths[path]] = entry
            return following

        return self._documents.transact(work) if paths else {}

    def names(self, after: str | None, most: int) -> list[str]:
        """Of the next documents in which something waits."""
        found = self._documents.query(COLLECTION, after_id=after, limit=most, fields=["kind"])
        return [name for name, _ in found]

    def lag(self) -> Lag:
        """Costs a read for each thousand documents, and one."""
        oldest = [data["since"] for _, data in self._documents.query(COLLECTION, order_by=["since"], limit=1)]
        return Lag(self._documents.count(COLLECTION), oldest[0] if oldest else None)


def _path(name: str) -> str:
    return f"{COLLECTION}/{name}"


def _document(kind: str, key: str, since: datetime) -> Data:
    return {
        "kind": kind,
        "id": key,
        "since": since,
        "waiting": [],
        "replay": None,
        "fence": None,
        "until": None,
    }


def _record_of(document: Data) -> str:
    return name_of(document["kind"], document["id"]).replace(":", "/", 1)


def _waiting(document: Data) -> list[Entry]:
    return [from_document(document["kind"], document["id"], one) for one in document["waiting"]]


def _is_leased(document: Data, now: datetime) -> bool:
    return document["until"] is not None and document["until"] > now


def _given(lease: Lease | None) -> Data:
    return {"fence": lease.fence if lease else None, "until": lease.until if lease else None}


def _after(document: Data, sent: Entry | None) -> Data:
    """The document once the broker has `sent`."""
    if sent is None:
        return document
    if sent.replay:
        return document | {"replay": None}
    left = without(_waiting(document), sent.version)
    since = left[0].stored_at if left else document["replay"]
    return document | {"waiting": list(map(as_document, left)), "since": since or document["since"]}


def _next(document: Data, record: Data | None) -> Entry | None:
    """What is to be told next of a record. record: its own document, where its present state is to be told."""
    waiting = _waiting(document)
    if waiting:
        return waiting[0]
    meta: Any = (record or {}).get(META)
    if not document["replay"] or not isinstance(meta, dict) or not isinstance(meta.get("stored_at"), datetime):
        return None
    return Entry(
        document["kind"],
        document["id"],
        version_of(meta),
        Operation.DELETED if meta.get("deleted") is True else Operation.PRESENT,
        meta["stored_at"],
        source=str(meta.get("source")),
        event=meta.get("event"),
        received_at=meta.get("received_at"),
        replay=True,
    )
