"""Deliveries in both forms, and the receiver behind Flask's own client.

The digests were computed with `openssl dgst -sha256 -hmac`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

import flask
from werkzeug.test import TestResponse

from functions.receive_webhook import handle
from shared.errors import SyncError
from shared.settings import WebhookSettings
from shared.webhooks.events import Change, decode

ROOT = Path(__file__).parent.parent.parent
NOON = datetime(2026, 3, 24, 12, 0, tzinfo=timezone.utc)
SECRET = "whsec_3f9a"
CANARY = "Zebulon Quackenbush"
GUIDE = b'{"event":"PATIENT_MODIFY","object_id":12345,"webhook_id":"abc123"}'
GUIDE_HMAC = "9fc044449f732a87442721b360017cb92a0eb2239f0887cdf5a83cf3721a207a"
LIVE = json.dumps(
    {
        "practice_group_id": 4321,
        "receiver": {"id": 7, "owning_doctor_id": 2},
        "object": {"id": 87654321, "first_name": CANARY, "updated_at": "2026-03-24T11:02:33"},
    }
).encode()
BY_TOKEN = {"X-drchrono-signature": SECRET}
AS_PATIENT = {**BY_TOKEN, "X-drchrono-event": "PATIENT_MODIFY"}


@dataclass
class Receiver:
    """The receiver behind Flask's own client, and the events that it published."""

    settings: WebhookSettings = field(
        default_factory=lambda: WebhookSettings(secrets=(SECRET,), signature="either", handshake=True)
    )
    now: Callable[[], datetime] = lambda: NOON
    publish_error: SyncError | None = None
    published: list[tuple[Change, Mapping[str, str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        app = flask.Flask("receiver")
        methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
        app.add_url_rule("/", view_func=self.answer, methods=methods, provide_automatic_options=False)
        self.client = app.test_client()

    def publish(self, data: bytes, attributes: Mapping[str, str]) -> None:
        if self.publish_error is not None:
            raise self.publish_error
        self.published.append((decode(data), attributes))

    def answer(self) -> flask.Response:
        return handle(flask.request, settings=self.settings, publish=self.publish, now=self.now)

    def post(self, body: bytes, headers: Mapping[str, str] = BY_TOKEN) -> TestResponse:
        return self.client.post("/", data=body, headers=dict(headers))
