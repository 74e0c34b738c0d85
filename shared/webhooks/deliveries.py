"""What a request to the front door means: is it DrChrono's, what answers the handshake, which change it announces.

Bytes and header texts in, values out (guide, "Webhooks"; DrChrono's API documentation, "Webhooks"). The two differ in
where things are: the guide has `event` and `object_id` in the body and signs the body, the live service has the event
in a header, the record under `object`, and sends the secret itself. Both are taken, one delivery at a time.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.drchrono.kinds import KINDS, key_of
from shared.errors import WebhookRejected
from shared.webhooks.events import EVENTS, Change

UNKNOWN = "unknown"

# Event names that nobody has told us of are logged as they are only if they look like one.
_EVENT_NAME = re.compile(r"[A-Z_]{1,60}")
_DELIVERY_ID = re.compile(r"[A-Za-z0-9._:-]{1,100}")
# `updated_at` as DrChrono writes it: ISO 8601 without an offset. Anything else in its place is not passed on.
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?")
# What nonces are made of (hex, UUID, base64), without the braces, quotes and blanks that a JSON object needs.
_HANDSHAKE_MESSAGE = re.compile(r"[A-Za-z0-9+/=_.:~-]{1,200}")


@dataclass(frozen=True)
class Delivery:
    """An authentic delivery, read.

    event: a name of `EVENTS`, another that looks like a name, or `unknown`.
    change: None where nothing is to be fetched: PING, kinds that are not kept, events that nobody knows.
    event_differs: body and header name two events. The body counts: in the guide's form it is what is signed.
    """

    event: str
    change: Change | None
    event_differs: bool = False


def is_authentic(body: bytes, signature: bytes, *, secrets: Sequence[str], form: str) -> bool:
    """Whether one of `secrets` signed the raw `body`: `form` is `hmac`, `token` or `either`.

    Bytes are compared, since comparing texts raises on what is not ASCII; and all of them, whichever matches, so that
    the time taken says nothing.
    """
    authentic = False
    for secret in secrets:
        for expected in _signatures(body, secret, form):
            authentic |= hmac.compare_digest(signature, expected)
    return authentic


def _signatures(body: bytes, secret: str, form: str) -> Iterator[bytes]:
    if form != "token":
        yield _hex_hmac(secret, body).encode()
    if form != "hmac":
        yield secret.encode()


def answer_handshake(message: str, secret: str) -> str:
    """The `secret_token` that proves to DrChrono that this address is ours (`GET ?msg=`, "Verify webhook").

    Whoever asks gets `message` signed, with the secret that signs bodies. So only what can be no JSON object is
    signed: a body that names an event cannot be made of it. Raises WebhookRejected.
    """
    if not _HANDSHAKE_MESSAGE.fullmatch(message):
        raise WebhookRejected("msg_refused", 400)
    return _hex_hmac(secret, message.encode())


def _hex_hmac(secret: str, message: bytes) -> str:
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def read_delivery(body: bytes, *, event_header: str, delivery_header: str, received_at: datetime) -> Delivery:
    """What an authentic body and its headers say. A missing header is an empty text.

    `webhook_id` (guide) names the registration, not the delivery: nothing is told apart by it.
    Raises WebhookRejected (400) when a kind that is kept is named, but not the record, or no event at all.
    """
    fields = _json_object(body)
    written = fields.get("event") if fields is not None else None
    named = written if isinstance(written, str) and written else None
    event = named or event_header
    if not event:
        raise WebhookRejected("event_missing", 400)
    differs = named is not None and event_header not in ("", named)
    kind = EVENTS.get(event)
    if kind is None:
        return Delivery(event if _EVENT_NAME.fullmatch(event) else UNKNOWN, None, differs)
    if fields is None:
        raise WebhookRejected("body_not_an_object", 400)
    record = fields.get("object")
    if not isinstance(record, dict):
        record = {}
    key = _key(kind, fields, record)
    if key is None:
        raise WebhookRejected("id_missing", 400)
    change = Change(
        event=event,
        kind=kind,
        id=key,
        delivery=_delivery_id(delivery_header, event, key, body),
        received_at=received_at,
        updated_at=_updated_at(record),
    )
    return Delivery(event, change, differs)


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body.decode())
    except (ValueError, RecursionError):  # not UTF-8, not JSON, a number of too many digits; nested too deeply
        return None
    return value if isinstance(value, dict) else None


def _key(kind: str, fields: Mapping[str, Any], record: Mapping[str, Any]) -> str | None:
    """`object_id`, else `object.id`, else what stands for the id of this kind (`object.appointment` of a note)."""
    row = KINDS[kind]
    return key_of(row, {"id": fields.get("object_id")}) or key_of(row, record)


def _delivery_id(header: str, event: str, key: str, body: bytes) -> str:
    """DrChrono's own id where it sent a plain one; otherwise the same for the same bytes, so that a repeat shows."""
    if _DELIVERY_ID.fullmatch(header):
        return header
    return hashlib.sha256(b"\n".join((event.encode(), key.encode(), body))).hexdigest()


def _updated_at(record: Mapping[str, Any]) -> str | None:
    value = record.get("updated_at")
    return value if isinstance(value, str) and _TIME.fullmatch(value) else None
