"""The copy and its change feed as a subscriber sees them: records with versions, and the messages of their changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from shared.documents import Documents
from shared.drchrono.ids import document_id
from shared.records.storable import META

NOON = datetime(2026, 3, 10, 12, tzinfo=timezone.utc)

Message = dict[str, Any]


@dataclass
class Feed:
    documents: Documents

    def change(
        self, kind: str, key: str, fields: Mapping[str, Any], *, deleted: bool = False, at: datetime | None = None
    ) -> Message:
        """Store the next version of a record, and return its message. at: when an appointment takes place."""
        path = f"{kind}/{document_id(key)}"
        before = (self.documents.get(path) or {}).get(META, {"version": 0, "deleted": False})
        meta = {"fetched_at": NOON, "deleted": deleted, "version": before["version"] + 1, "scheduled_at": at}
        self.documents.transact(lambda transaction: transaction.set(path, {**fields, META: meta}))
        operation = "deleted" if deleted else "returned" if before["deleted"] else "changed"
        return message(kind, key, meta["version"], operation if before["version"] else "created")

    def replay(self, kind: str, key: str) -> Message:
        """Return the message that tells the present state again."""
        meta = (self.documents.get(f"{kind}/{document_id(key)}") or {})[META]
        return message(kind, key, meta["version"], "deleted" if meta["deleted"] else "present", replay=True)


def message(kind: str, key: str, version: int, operation: str, *, replay: bool = False) -> Message:
    return {
        "kind": kind,
        "id": key,
        "version": version,
        "operation": operation,
        "fields": [] if replay or operation == "deleted" else ["status"],
        "source": "sync",
        "event": None,
        "received_at": None,
        "stored_at": NOON.isoformat(),
        "replay": replay,
    }


def filled(kind: str, count: int) -> Message:
    return {"kind": kind, "operation": "filled", "stored_at": NOON.isoformat(), "count": count, "replay": False}


def ordering_key(told: Message) -> str:
    return f"{told['kind']}/{told['id']}" if "id" in told else str(told["kind"])


def attributes(told: Message) -> dict[str, str]:
    return {
        "kind": told["kind"],
        "operation": told["operation"],
        "replay": json.dumps(told["replay"]),
    }
