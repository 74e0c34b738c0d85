"""Queries on the stored records that need only parts of the documents."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from datetime import datetime

from shared.documents import Data, Documents, Where
from shared.drchrono.ids import document_id, id_of, id_of_document
from shared.drchrono.kinds import Kind
from shared.records.ordering import Copy, copy_of
from shared.records.prepared import path_of
from shared.records.scheduled import ZONE
from shared.records.storable import META

WALK_DOCUMENTS = 500
NEAR_DOCUMENTS = 20

# The fields that `ordering.judge` needs.
JUDGED_FIELDS = (META, "updated_at")

# The fields that writing needs as well.
WRITTEN_FIELDS = (*JUDGED_FIELDS, ZONE)

# The reasons of tombstones whose deletion DrChrono did not state.
ABSENCE_REASONS = ("not_found", "absent")


def was_absent(document: Data | None) -> bool:
    """Return whether the document is a tombstone that was made because the record was absent."""
    meta = (document or {}).get(META)
    return isinstance(meta, dict) and meta.get("deleted") is True and meta.get("deleted_reason") in ABSENCE_REASONS


class RecordQueries:
    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def copy(self, kind: Kind, key: str) -> Copy | None:
        path = path_of(kind, key)
        return copy_of(self._documents.get_all([path], JUDGED_FIELDS).get(path))

    def patient_of(self, kind: Kind, key: str) -> str | None:
        """Return the id of the patient whom the stored record belongs to, None if it names none."""
        path = path_of(kind, key)
        return id_of(self._documents.get_all([path], ["patient"]).get(path, {}).get("patient"))

    def living(self, kind: Kind, where: Sequence[Where] = ()) -> Iterator[tuple[str, Copy]]:
        """Yield ids and copies of the records that are not tombstones, by id. Skips documents that this system did not
        write.
        """
        after: str | None = None
        while True:
            page = list(
                self._documents.query(kind.name, where, limit=WALK_DOCUMENTS, after_id=after, fields=JUDGED_FIELDS)
            )
            for name, document in page:
                copy = copy_of(document)
                if copy is not None and not copy.deleted:
                    yield id_of_document(name), copy
            if len(page) < WALK_DOCUMENTS:
                return
            after = page[-1][0]

    def count(self, kind: Kind) -> int:
        """Return the number of records, tombstones included."""
        return self._documents.count(kind.name)

    def count_living(self, kind: Kind) -> int:
        return self._documents.count(kind.name, [Where(f"{META}.deleted", "==", False)])

    def absent(self, kind: Kind, since: datetime) -> Iterator[str]:
        """Return the ids of the tombstones made since then because the record was absent."""
        deleted = [Where(f"{META}.deleted", "==", True)]
        for name, document in self._documents.query(kind.name, deleted, fields=JUDGED_FIELDS):
            if copy_of(document) is not None and was_absent(document) and document[META]["stored_at"] >= since:
                yield id_of_document(name)

    def has_unreadable(self, kind: Kind) -> bool:
        """Return whether documents without the mark of this system exist. Costs three counts."""
        marked = sum(
            self._documents.count(kind.name, [Where(f"{META}.deleted", "==", value)]) for value in (True, False)
        )
        return marked != self.count(kind)

    def unreadable(self, kind: Kind) -> Iterator[str]:
        """Yield the names of documents that this system did not write. Reads the whole collection."""
        for name, document in self._documents.query(kind.name, fields=JUDGED_FIELDS):
            if copy_of(document) is None:
                yield name

    def neighbours(self, kind: Kind, key: str, most: int, without: Container[str]) -> list[str]:
        """Return up to `most` ids of living records near `key` in id order; more documents are read only if the nearest
        have none.
        """
        for documents in (NEAR_DOCUMENTS, WALK_DOCUMENTS):
            found: list[str] = []
            for after in (document_id(key), None):
                near = self._documents.query(kind.name, limit=documents, after_id=after, fields=JUDGED_FIELDS)
                for name, document in near:
                    copy, other = copy_of(document), id_of_document(name)
                    if copy is not None and not copy.deleted and other != key and other not in without:
                        found.append(other)
                    if len(found) == most:
                        return found
            if found:
                return found
        return []

    def keys(self, kind: Kind, *, after: str | None, most: int) -> list[str]:
        """Return the next ids in order, tombstones included."""
        after_name = document_id(after) if after is not None else None
        found = self._documents.query(kind.name, limit=most, after_id=after_name, fields=[META])
        return [id_of_document(name) for name, _ in found]
