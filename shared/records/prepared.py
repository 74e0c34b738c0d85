"""Records made ready to be stored: their document, their digest, and chunks that one commit can hold."""

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

# Firestore takes longer for more bytes and fields, each of which is indexed: about as much as it commits in some tenths
# of a second, so that several commits at once end within the deadline of a call. It takes at most 10 MiB in one
# (cloud.google.com/firestore/quotas). The bytes are those of the canonical texts; documents have about as many, and at
# the very most eleven times as many.
CHUNK_RECORDS = 100
CHUNK_BYTES = 600_000


def path_of(kind: Kind, key: str) -> str:
    """The path of the document of the record `key`."""
    return f"{kind.name}/{document_id(key)}"


@dataclass(frozen=True)
class Prepared:
    """record: as DrChrono sent it. text: its canonical JSON. updated_at: None where it has none. doctor: the path of
    the document that has the time zone of `scheduled_time`, None where neither is known.
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
        """The paths of the documents that must be read before it is written."""
        return (self.path, self.doctor) if self.doctor else (self.path,)

    @cached_property
    def parts(self) -> Parts:
        """Checked and measured only where it is to be written: most records of most lists are kept already."""
        return split(self.record)

    def observation(self, began: datetime) -> Observation:
        return Observation(began=began, digest=self.digest, updated_at=self.updated_at)

    def document(self, meta: Data, found: Mapping[str, Data]) -> Data:
        """found: the documents of `reads` that exist."""
        native, text, _ = self.parts
        meta = {**meta, "digest": self.digest}
        if self.doctor:
            instant = scheduled_at(native.get("scheduled_time"), zone_of(found.get(self.doctor)))
            meta |= {"scheduled_at": instant} if instant else {}
        if text is not None:
            return {**native, META: meta | {"json": text}}
        return Serialized(native, self.text, {META: meta})


def prepare(kind: Kind, key: str, record: dict[str, Any]) -> Prepared:
    """Raises RecordTooLarge."""
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
    """What was prepared of the records of one page, which is looked at before it is stored: each of them once."""

    def __init__(self) -> None:
        self._prepared: dict[int, Prepared] = {}  # by the identity of the record, which each of them keeps alive

    def prepare(self, kind: Kind, key: str, record: dict[str, Any]) -> Prepared:
        """Raises RecordTooLarge."""
        found = self._prepared.get(id(record))
        if found is None:
            found = self._prepared[id(record)] = prepare(kind, key, record)
        return found


def prepare_all(
    kind: Kind, records: Iterable[dict[str, Any]], bench: Workbench | None = None
) -> tuple[dict[str, Prepared], dict[str, str]]:
    """By id; and the reason for each that cannot be stored (`?` stands for those without an id)."""
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
