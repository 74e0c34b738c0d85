"""Webhook deliveries: check the signature, answer the ownership handshake, and read which change was announced.

Takes bytes and header texts, and returns values. Sources: guide, "Webhooks", and DrChrono's API documentation,
"Webhooks". They differ. The guide puts `event` and `object_id` into the body and signs the body. The live service puts
the event into a header and the record under `object`, and sends the secret itself. Each delivery may have either form.
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

# An event name that isn't in `EVENTS` is logged only if it has this form.
_EVENT_NAME = re.compile(r"[A-Z_]{1,60}")
_DELIVERY_ID = re.compile(r"[A-Za-z0-9._:-]{1,100}")
# `updated_at` as DrChrono writes it: ISO 8601 without an offset. Other values are dropped.
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?")
# The characters of nonces (hex, UUID, base64), without the braces, quotes and blanks that a JSON object needs.
_HANDSHAKE_MESSAGE = re.compile(r"[A-Za-z0-9+/=_.:~-]{1,200}")


@dataclass(frozen=True)
class Delivery:
    """The content of an authentic delivery.

    event: a name of `EVENTS`, another text in the form of an event name, or `unknown`.
    change: None if there is nothing to fetch: PING, kinds that are not kept, unknown events.
    event_differs: body and header name different events. The body wins, because the guide's form signs the body only.
    """

    event: str
    change: Change | None
    event_differs: bool = False


def is_authentic(body: bytes, signature: bytes, *, secrets: Sequence[str], form: str) -> bool:
    """Return whether one of `secrets` signed the raw `body`. `form` is `hmac`, `token` or `either`.

    Compares bytes, because `compare_digest` raises on texts that aren't ASCII. Compares with every secret even after a
    match, so that the duration reveals nothing.
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
    """Return the `secret_token` that proves to DrChrono that this address is ours (`GET ?msg=`, "Verify webhook").

    The caller is not authenticated, and the same secret signs bodies. So `message` must consist of characters in which
    no JSON object can be written: the answer is never the signature of a delivery. Raises WebhookRejected.
    """
    if not _HANDSHAKE_MESSAGE.fullmatch(message):
        raise WebhookRejected("msg_refused", 400)
    return _hex_hmac(secret, message.encode())


def _hex_hmac(secret: str, message: bytes) -> str:
    return hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()


def read_delivery(body: bytes, *, event_header: str, delivery_header: str, received_at: datetime) -> Delivery:
    """Return the content of an authentic body and its headers. A missing header is an empty text.

    `webhook_id` (guide) is ignored: it identifies the registration, not the delivery.
    Raises WebhookRejected (400) if there is no event, or if an event of a kind that is kept names no record.
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
    except (ValueError, RecursionError):  # not UTF-8, not JSON, a number with too many digits; nested too deeply
        return None
    return value if isinstance(value, dict) else None


def _key(kind: str, fields: Mapping[str, Any], record: Mapping[str, Any]) -> str | None:
    """Return `object_id`, else `object.id`, else the field that replaces the id (`object.appointment` of a note)."""
    row = KINDS[kind]
    return key_of(row, {"id": fields.get("object_id")}) or key_of(row, record)


def _delivery_id(header: str, event: str, key: str, body: bytes) -> str:
    """Return DrChrono's id of the delivery if it is plain, else a hash: a repeated delivery has the same one."""
    if _DELIVERY_ID.fullmatch(header):
        return header
    return hashlib.sha256(b"\n".join((event.encode(), key.encode(), body))).hexdigest()


def _updated_at(record: Mapping[str, Any]) -> str | None:
    value = record.get("updated_at")
    return value if isinstance(value, str) and _TIME.fullmatch(value) else None
