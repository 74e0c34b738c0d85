"""The target of an entry: a record, or creations that look alike. Entries of one target are sent in sequence. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.drchrono.ids import document_id
from shared.outbox.validation import Action, Request


def target_of(request: Request) -> str:
    """Return the record, or a digest that is equal for creations that look alike."""
    if request.action is Action.UPDATE:
        return record_target(request.kind, request.id or "")
    identity = json.dumps(identity_of(request.kind, request.fields))
    return f"{request.kind}:new:{hashlib.sha256(identity.encode()).hexdigest()[:32]}"


IDENTITY: Mapping[str, tuple[str, ...]] = {
    "patients": ("first_name", "last_name", "date_of_birth", "doctor"),
    "appointments": ("patient", "office", "doctor", "scheduled_time"),
}


def identity_of(kind: str, fields: Mapping[str, Any]) -> list[str]:
    """Return what identifies a created record, however DrChrono formats it: a text for each field of IDENTITY."""
    return [_plain(name, fields.get(name)) for name in IDENTITY[kind]]


def _plain(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name == "scheduled_time":
        return with_seconds(str(value))
    return " ".join(str(value).split()).casefold()


def with_seconds(local: str) -> str:
    """Return a local time as DrChrono shows it; anything else unchanged."""
    try:
        return datetime.fromisoformat(local).replace(tzinfo=None).isoformat()
    except ValueError:
        return local


def record_target(kind: str, key: str) -> str:
    return f"{kind}:{document_id(key)}"
