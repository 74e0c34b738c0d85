"""(e) Makes one gRPC call to Pub/Sub with a prepared request and checks nothing: the cost of waiting for a broker."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from typing import Any

import flask
import functions_framework
import grpc
from google.pubsub_v1 import PublishRequest, PubsubMessage

_lock = threading.Lock()
_TOPIC = f"projects/{os.environ['GCP_PROJECT']}/topics/{os.environ['EVENTS_TOPIC']}"
_REQUEST = PublishRequest.pb()(topic=_TOPIC, messages=[PubsubMessage.pb()(data=b"x" * 200)]).SerializeToString()


@functools.cache
def _publish() -> Callable[..., Any]:
    channel = grpc.insecure_channel(os.environ["PUBSUB_EMULATOR_HOST"])
    return channel.unary_unary("/google.pubsub.v1.Publisher/Publish")


@functions_framework.http
def receive(request: flask.Request) -> tuple[str, int]:
    request.get_data()
    with _lock:
        publish = _publish()
    publish(_REQUEST)
    return "", 204
