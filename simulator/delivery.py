"""One webhook delivery: its body in the guide's form or the live one, and its signature."""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass

from simulator.clinic import Change
from simulator.people import PRACTICE_GROUP
from simulator.store import signed

WEBHOOK_ID = "wh_1001"


@dataclass(frozen=True)
class Delivery:
    event: str
    id: str
    """Kept when the delivery is repeated (whether the real service does is not known)."""
    body: bytes
    made_at: float


def write_body(form: str, event: str, change: Change | None, link_signature: int) -> bytes:
    """The raw body. A PING is about nothing: `change` is None."""
    if form == "guide":
        object_id = change.record_id if change else None
        return json.dumps({"event": event, "object_id": object_id, "webhook_id": WEBHOOK_ID}).encode()
    receiver = {"id": 1001, "name": "records", "active": True, "practice_group": PRACTICE_GROUP}
    head = json.dumps({"practice_group_id": PRACTICE_GROUP, "receiver": receiver})
    record = signed(change.version.json(verbose=True), f"{link_signature:032x}") if change else b"{}"
    return head[:-1].encode() + b', "object": ' + record + b"}"


def sign(secret: str, message: bytes, style: str) -> str:
    """`hmac`: hex HMAC-SHA256 of the message (the guide); `token`: the secret itself (live)."""
    return secret if style == "token" else hmac.new(secret.encode(), message, "sha256").hexdigest()
