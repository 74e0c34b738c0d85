"""Prepares records for storing: their documents, their digests, and chunks that fit into one commit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from shared.documents import Data, Serialized
from shared.drchrono.ids import document_id
from shared.drchrono.kinds import Kind, key_of
from shared.errors import RecordTooLarge
from shared.records.ordering import Observation
from shared.records.scheduled import scheduled_at, zone_of, zone_path
from shared.records.storable import META, Parts, canonical, digest_of, split, surely_fits

# The time of a commit grows with its bytes and its fields, each of which is indexed. Firestore commits a chunk of this
# size in some tenths of a second, so that several concurrent commits end within the deadline of a call. Its limit is
# 10 MiB per commit (cloud.google.com/firestore/quotas). CHUNK_BYTES counts the canonical texts. Documents have about as
# many bytes, and never more than eleven times as many.
CHUNK_RECORDS = 100
CHUNK_BYTES = 600_000


def path_of(kind: Kind, key: str) -> str:
    """Return the path of the record's document."""
    return f"{kind.name}/{document_id(key)}"


@dataclass(frozen=True)
class Prepared:
    """A record ready to be stored. record: as DrChrono sent it. text: its canonical JSON. updated_at: None if it has
    none. doctor: the path of the doctor whose time zone applies to `scheduled_time`, None if there is none.
    """

    key: str
    path: str
    record: dict[str, Any]
    text: str
    digest: str
    updated_at: str | None
    doctor: str | None

    @property
    def reads(self) -> tuple[str, ...]:
        """The paths of the documents that must be read before the record is written."""
        return (self.path, self.doctor) if self.doctor else (self.path,)

    @cached_property
    def parts(self) -> Parts:
        """The record, checked and measured at the first use: most records of a list are stored already."""
        return split(self.record)

    def observation(self, began: datetime) -> Observation:
        return Observation(began=began, digest=self.digest, updated_at=self.updated_at)

    def document(self, meta: Data, found: Mapping[str, Data]) -> Data:
        """Return the document to write. meta: its `_sync`. found: the documents of `reads` that exist."""
        native, text, _ = self.parts
        meta = {**meta, "digest": self.digest}
        if self.doctor:
            instant = scheduled_at(native.get("scheduled_time"), zone_of(found.get(self.doctor)))
            meta |= {"scheduled_at": instant} if instant else {}
        if text is not None:
            return {**native, META: meta | {"json": text}}
        return Serialized(native, self.text, {META: meta})


def prepare(kind: Kind, key: str, record: dict[str, Any]) -> Prepared:
    """Return the record ready to be stored. Raises RecordTooLarge."""
    updated_at = record.get("updated_at")
    text = canonical(record)
    prepared = Prepared(
        key=key,
        path=path_of(kind, key),
        record=record,
        text=text,
        digest=digest_of(text),
        updated_at=updated_at if isinstance(updated_at, str) else None,
        doctor=zone_path(kind, record),
    )
    if not surely_fits(text):
        _ = prepared.parts
    return prepared


class Workbench:
    """Prepares each record of one page once, although the page is examined before it is stored."""

    def __init__(self) -> None:
        self._prepared: dict[int, Prepared] = {}  # by `id(record)`; each value keeps its record alive

    def prepare(self, kind: Kind, key: str, record: dict[str, Any]) -> Prepared:
        """Raises RecordTooLarge."""
        found = self._prepared.get(id(record))
        if found is None:
            found = self._prepared[id(record)] = prepare(kind, key, record)
        return found


def prepare_all(
    kind: Kind, records: Iterable[dict[str, Any]], bench: Workbench | None = None
) -> tuple[dict[str, Prepared], dict[str, str]]:
    """Return the prepared records by id, and the reason for each that cannot be stored (`?`: records without an id)."""
    make = bench.prepare if bench else prepare
    prepared: dict[str, Prepared] = {}
    failed: dict[str, str] = {}
    for record in records:
        key = key_of(kind, record)
        if key is None:
            failed["?"] = "no_id"
            continue
        try:
            prepared[key] = make(kind, key, record)
        except RecordTooLarge as error:
            failed[key] = error.reason
    return prepared, failed


def chunks(prepared: Iterable[Prepared]) -> Iterator[list[Prepared]]:
    """Yield the records in chunks that fit into one commit."""
    chunk: list[Prepared] = []
    size = 0
    for one in prepared:
        if chunk and (len(chunk) == CHUNK_RECORDS or size + len(one.text) > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(one)
        size += len(one.text)
    if chunk:
        yield chunk
