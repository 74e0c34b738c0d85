"""Webhook events: their names, the kind of record of each, and the hint that travels through Pub/Sub.

Sources of the names: guide, "Supported Events"; the 27 events in DrChrono's documentation and console; PING.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from shared.drchrono.ids import is_id
from shared.drchrono.kinds import KINDS
from shared.errors import MessageUnusable

# None: the event is known, acknowledged and counted, but its kind is not kept.
EVENTS: Mapping[str, str | None] = {
    "PING": None,
    "PATIENT_CREATE": "patients",
    "PATIENT_MODIFY": "patients",
    "APPOINTMENT_CREATE": "appointments",
    "APPOINTMENT_MODIFY": "appointments",
    "APPOINTMENT_DELETE": "appointments",
    "CLINICAL_NOTE_LOCK": "clinical_notes",
    "CLINICAL_NOTE_UNLOCK": "clinical_notes",
    "CLINICAL_NOTE_MODIFY": "clinical_notes",  # guide only; the live service has no such event
    "PATIENT_PROBLEM_CREATE": "problems",
    "PATIENT_PROBLEM_MODIFY": "problems",
    "PATIENT_ALLERGY_CREATE": "allergies",
    "PATIENT_ALLERGY_MODIFY": "allergies",
    "PATIENT_MEDICATION_CREATE": "medications",
    "PATIENT_MEDICATION_MODIFY": "medications",
    "PATIENT_FLAG_CREATE": None,
    "PATIENT_FLAG_MODIFY": None,
    "PATIENT_FLAG_CMODIFY": None,  # spelled like this in DrChrono's documentation
    "LAB_ORDER_CREATE": None,
    "LAB_ORDER_MODIFY": None,
    "LAB_ORDER_DELETE": None,
    "LINE_ITEM_CREATE": None,
    "LINE_ITEM_MODIFY": None,
    "LINE_ITEM_DELETE": None,
    "LINE_ITEM_TRANSACTION_DELETE": None,
    "CASH_PAYMENT_DELETE": None,
    "TASK_CREATE": None,
    "TASK_MODIFY": None,
    "TASK_DELETE": None,
    "VACCINE_ADMINISTERED": None,
}


@dataclass(frozen=True)
class Change:
    """A hint that a record changed. Nothing else of a delivery leaves `receive_webhook`.

    received_at: when `receive_webhook` received it (UTC). updated_at: DrChrono's string for the object, local time
    without offset; None if the delivery has none (guide form).
    """

    event: str
    kind: str
    id: str
    delivery: str
    received_at: datetime
    updated_at: str | None = None

    @property
    def has_delivery_id(self) -> bool:
        """Whether DrChrono sent the id. Otherwise `delivery` is a hash of the body, which two changes of one record
        may share.
        """
        return not re.fullmatch(r"[0-9a-f]{64}", self.delivery)

    @property
    def deletes(self) -> bool:
        return self.event.endswith("_DELETE")

    @property
    def creates(self) -> bool:
        return self.event.endswith("_CREATE")


def encode(change: Change) -> bytes:
    """Return the data of the Pub/Sub message: a JSON object with the fields of `Change`."""
    fields = {
        "event": change.event,
        "kind": change.kind,
        "id": change.id,
        "delivery": change.delivery,
        "received_at": change.received_at.isoformat(),
    }
    if change.updated_at is not None:
        fields["updated_at"] = change.updated_at
    return json.dumps(fields, separators=(",", ":")).encode()


def decode(data: bytes) -> Change:
    """Return the change that `encode` wrote.

    Raises MessageUnusable with a reason. The error never repeats the data.
    """
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        raise MessageUnusable("not_json") from None
    if not isinstance(fields, dict):
        raise MessageUnusable("not_an_object")
    texts = {name: value for name, value in fields.items() if isinstance(value, str)}
    if not {"event", "kind", "id", "delivery", "received_at"} <= texts.keys():
        raise MessageUnusable("field_missing")
    updated_at = fields.get("updated_at")
    if updated_at is not None and not isinstance(updated_at, str):
        raise MessageUnusable("field_missing")
    if texts["kind"] not in KINDS or EVENTS.get(texts["event"]) != texts["kind"]:
        raise MessageUnusable("unknown_event")
    if not is_id(texts["id"]):
        raise MessageUnusable("bad_id")
    try:
        received_at = datetime.fromisoformat(texts["received_at"])
    except ValueError:
        raise MessageUnusable("bad_time") from None
    if received_at.tzinfo is None:
        raise MessageUnusable("bad_time")
    return Change(
        event=texts["event"],
        kind=texts["kind"],
        id=texts["id"],
        delivery=texts["delivery"],
        received_at=received_at.astimezone(timezone.utc),
        updated_at=updated_at,
    )
