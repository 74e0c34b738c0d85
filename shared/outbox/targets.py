"""What is sent one after another: a record, or the creations that look alike. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.drchrono.ids import document_id
from shared.outbox.validation import Action, Request


def target_of(request: Request) -> str:
    """A record, or what makes two creations look alike: of those, one is not sent before the other is settled."""
    if request.action is Action.UPDATE:
        return record_target(request.kind, request.id or "")
    identity = json.dumps(identity_of(request.kind, request.fields))
    return f"{request.kind}:new:{hashlib.sha256(identity.encode()).hexdigest()[:32]}"


IDENTITY: Mapping[str, tuple[str, ...]] = {
    "patients": ("first_name", "last_name", "date_of_birth", "doctor"),
    "appointments": ("patient", "office", "doctor", "scheduled_time"),
}


def identity_of(kind: str, fields: Mapping[str, Any]) -> list[str]:
    """By what a created record is recognized, however DrChrono writes it: a text for each field of IDENTITY."""
    return [_plain(name, fields.get(name)) for name in IDENTITY[kind]]


def _plain(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name == "scheduled_time":
        return with_seconds(str(value))
    return " ".join(str(value).split()).casefold()


def with_seconds(local: str) -> str:
    """A local time as DrChrono shows it; anything else as it is."""
    try:
        return datetime.fromisoformat(local).replace(tzinfo=None).isoformat()
    except ValueError:
        return local


def record_target(kind: str, key: str) -> str:
    return f"{kind}:{document_id(key)}"
