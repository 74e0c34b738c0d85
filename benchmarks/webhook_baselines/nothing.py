"""(a) Answers 204: the cost of the server and the framework."""

from __future__ import annotations

import flask
import functions_framework


@functions_framework.http
def receive(_: flask.Request) -> tuple[str, int]:
    return "", 204
