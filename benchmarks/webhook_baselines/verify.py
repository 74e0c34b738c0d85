"""(b) Verifies the body's signature and answers 204: the least that a receiver can do, and it loses every event."""

from __future__ import annotations

import hashlib
import hmac
import os

import flask
import functions_framework


@functions_framework.http
def receive(request: flask.Request) -> tuple[str, int]:
    secret = os.environ["DRCHRONO_WEBHOOK_SECRET"].encode()
    expected = hmac.new(secret, request.get_data(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, request.headers.get("X-drchrono-signature", "")):
        return "", 401
    return "", 204
