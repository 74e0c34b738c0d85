"""The versions of one record, from its history. Values of fields are never read."""

from __future__ import annotations

from typing import Any, cast

from shared.documents import Documents
from shared.drchrono.kinds import Kind
from shared.records.changes import HISTORY
from shared.records.prepared import path_of
from shared.records.storable import META


def history(documents: Documents, kind: Kind, key: str) -> list[dict[str, Any]]:
    """Return {version, operation, fields, stored_at, source, event} per version, oldest first. Reads only `_sync`."""
    found = documents.query(f"{path_of(kind, key)}/{HISTORY}", fields=[META])
    shown = ("version", "operation", "fields", "stored_at", "source", "event")
    rows = [{name: data[META].get(name) for name in shown} for _, data in found if META in data]
    return sorted(rows, key=lambda row: cast(int, row["version"]))
