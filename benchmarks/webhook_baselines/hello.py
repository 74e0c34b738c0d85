"""Imports the Pub/Sub client and answers 204: the lower bound on the start of any function that publishes."""

from __future__ import annotations

import flask
import functions_framework
import google.pubsub_v1  # noqa: F401 (importing it is the point)


@functions_framework.http
def receive(_: flask.Request) -> tuple[str, int]:
    return "", 204
