"""The body and signature of one webhook delivery."""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass

from simulator.practice.clinic import Change
from simulator.practice.staff import PRACTICE_GROUP
from simulator.practice.store import signed

WEBHOOK_ID = "wh_1001"


@dataclass(frozen=True)
class Delivery:
    event: str
    id: str
    """Unchanged on redelivery. Whether the real service keeps it is unknown."""
    body: bytes
    made_at: float


def write_body(form: str, event: str, change: Change | None, link_signature: int) -> bytes:
    """Return the raw body. `change` is None for a PING."""
    if form == "guide":
        object_id = change.record_id if change else None
        return json.dumps({"event": event, "object_id": object_id, "webhook_id": WEBHOOK_ID}).encode()
    receiver = {"id": 1001, "name": "records", "active": True, "practice_group": PRACTICE_GROUP}
    head = json.dumps({"practice_group_id": PRACTICE_GROUP, "receiver": receiver})
    record = signed(change.version.json(verbose=True), f"{link_signature:032x}") if change else b"{}"
    return head[:-1].encode() + b', "object": ' + record + b"}"


def sign(secret: str, message: bytes, style: str) -> str:
    """Return the signature: hex HMAC-SHA256 of the message for `hmac` (the guide), the secret for `token` (live)."""
    return secret if style == "token" else hmac.new(secret.encode(), message, "sha256").hexdigest()
