"""(a) Answers 204: what the server and the framework cost."""

from __future__ import annotations

import flask
import functions_framework


@functions_framework.http
def receive(_: flask.Request) -> tuple[str, int]:
    return "", 204
