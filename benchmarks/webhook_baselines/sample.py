"""(c) Written like the usual samples: the default publisher, and its future's result."""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
import os
import threading

import flask
import functions_framework
import google.cloud.pubsub_v1 as pubsub_v1  # type: ignore[import-untyped]

_lock = threading.Lock()


@functools.cache
def _publisher() -> pubsub_v1.PublisherClient:
    return pubsub_v1.PublisherClient()


@functions_framework.http
def receive(request: flask.Request) -> tuple[str, int]:
    secret = os.environ["DRCHRONO_WEBHOOK_SECRET"].encode()
    expected = hmac.new(secret, request.get_data(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, request.headers.get("X-drchrono-signature", "")):
        return "", 401
    with _lock:  # created by two threads at once, the client may hang
        publisher = _publisher()
    event = request.headers.get("X-drchrono-event", "")
    data = json.dumps({"event": event, "id": request.get_json()["object"]["id"]}).encode()
    publisher.publish(publisher.topic_path(os.environ["GCP_PROJECT"], "drchrono-events"), data, event=event).result()
    return "", 204
