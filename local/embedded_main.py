"""The entry points of `main.py` on the embedded store and queue. functions-framework serves them without emulators."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import functions_framework

from main import Functions
from workstation.wiring import local_system

if TYPE_CHECKING:
    import flask
    from cloudevents.http import CloudEvent

FUNCTIONS = Functions(local_system(os.environ))


@functions_framework.http
def receive_webhook(request: flask.Request) -> flask.Response:
    return FUNCTIONS.receive_webhook(request)


@functions_framework.cloud_event
def store_record(event: CloudEvent) -> None:
    FUNCTIONS.store_record(event.data)


@functions_framework.http
def run_job(request: flask.Request) -> flask.Response:
    return FUNCTIONS.run_job(request)
