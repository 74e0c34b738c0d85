"""The entry points of `main.py` on the embedded store and queue: what functions-framework serves without emulators."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import functions_framework

from main import receive, run, store
from workstation.wiring import local_system

if TYPE_CHECKING:
    import flask
    from cloudevents.http import CloudEvent

SYSTEM = local_system(os.environ)


@functions_framework.http
def receive_webhook(request: flask.Request) -> flask.Response:
    return receive(SYSTEM, request)


@functions_framework.cloud_event
def store_record(event: CloudEvent) -> None:
    store(SYSTEM, event.data)


@functions_framework.http
def run_job(request: flask.Request) -> flask.Response:
    return run(SYSTEM, request)
