"""Firestore, and its emulator, as a `Store`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.cloud import firestore

from drchrono_reader.store import Condition, Document, Position


class FirestoreStore:
    def __init__(self, client: firestore.Client) -> None:
        self._client = client

    def get(self, collection: str, name: str) -> Document | None:
        return self._client.collection(collection).document(name).get().to_dict()

    def select(
        self,
        collection: str,
        conditions: Sequence[Condition],
        *,
        order_by: str | None,
        after: Position | None,
        limit: int,
    ) -> list[tuple[str, Document]]:
        reference = self._client.collection(collection)
        query = _filtered(reference, conditions)
        if order_by is not None:
            query = query.order_by(order_by)
        query = query.order_by("__name__").limit(limit)
        if after is not None:
            last = reference.document(after.name)
            query = query.start_after([last] if order_by is None else [after.value, last])
        return [(snapshot.id, snapshot.to_dict() or {}) for snapshot in query.stream()]

    def count(self, collection: str, conditions: Sequence[Condition]) -> int:
        counting: Any = _filtered(self._client.collection(collection), conditions).count()
        return int(counting.get()[0][0].value)


def _filtered(collection: firestore.CollectionReference, conditions: Sequence[Condition]) -> firestore.Query:
    query = firestore.Query(collection)
    for condition in conditions:
        query = query.where(filter=firestore.FieldFilter(*condition))
    return query
