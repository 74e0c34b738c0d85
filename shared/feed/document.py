"""A document of the collection `feed`: what waits for one record, and the lease of the relay that may send it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.documents import Data
from shared.feed.entries import (
    COLLECTION,
    META,
    Entry,
    Operation,
    as_document,
    from_document,
    name_of,
    version_of,
    without,
)


@dataclass(frozen=True)
class Lease:
    fence: str
    until: datetime


def path_of(name: str) -> str:
    return f"{COLLECTION}/{name}"


def new_document(kind: str, key: str, since: datetime) -> Data:
    return {
        "kind": kind,
        "id": key,
        "since": since,
        "waiting": [],
        "replay": None,
        "fence": None,
        "until": None,
    }


def record_of(document: Data) -> str:
    return name_of(document["kind"], document["id"]).replace(":", "/", 1)


def waiting_in(document: Data) -> list[Entry]:
    return [from_document(document["kind"], document["id"], one) for one in document["waiting"]]


def is_leased(document: Data, now: datetime) -> bool:
    return document["until"] is not None and document["until"] > now


def lease_fields(lease: Lease | None) -> Data:
    return {"fence": lease.fence if lease else None, "until": lease.until if lease else None}


def after_sending(document: Data, sent: Entry | None) -> Data:
    """Return the document after the broker has acknowledged `sent`."""
    if sent is None:
        return document
    if sent.replay:
        return document | {"replay": None}
    left = without(waiting_in(document), sent.version)
    since = left[0].stored_at if left else document["replay"]
    return document | {"waiting": list(map(as_document, left)), "since": since or document["since"]}


def next_entry(document: Data, record: Data | None) -> Entry | None:
    """Return what to announce next of a record. record: the stored record, if its current state is to be announced."""
    waiting = waiting_in(document)
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
