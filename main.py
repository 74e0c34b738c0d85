"""The entry points that Google Cloud calls. No decisions: `functions` has them, and `shared/wiring` builds the parts.

Nothing is built at import, and what a function does not use is not imported.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import flask
import functions_framework
from werkzeug.exceptions import HTTPException

from shared.clock import utc_now
from shared.errors import MessageUnusable, SettingsError, StoreUnavailable
from shared.log import log_context, log_crash
from shared.rate_limit.ledger import Lane
from shared.wiring.once import Once
from shared.wiring.system import System

if TYPE_CHECKING:
    from cloudevents.http import CloudEvent

    from functions.run_job import Jobs
    from functions.store_record import Store

T = TypeVar("T")


class Functions:
    """What is deployed, on `system`: one method for each function."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._store = Once(self._built_store)
        self._jobs = Once(self._built_jobs)

    def receive_webhook(self, request: flask.Request) -> flask.Response:
        import functions.receive_webhook as function

        system = self._system

        def work() -> flask.Response:
            try:
                system.cloud()
                settings = system.webhook()
            except SettingsError as error:
                return function.misconfigured(error)
            return function.handle(
                request,
                settings=settings,
                publish=lambda data, attributes: system.publish()(data, attributes),
                now=utc_now,
            )

        return guarded(system, "receive_webhook", request.headers.get("traceparent", ""), work)

    def store_record(self, event: object) -> None:
        """Pub/Sub delivers again what is not answered with 2xx, and in the end moves it to the dead-letter topic."""
        from functions.store_record import handle, traceparent

        def work() -> int:
            try:
                handle(event, self._store())
            except MessageUnusable:
                return 400
            except StoreUnavailable:
                return 503
            return 204

        status = guarded(self._system, "store_record", traceparent(event), work)
        if status != 204:
            flask.abort(status)

    def send_writes(self, attributes: Mapping[str, object]) -> None:
        """Eventarc delivers again what is not answered with 2xx. The sync finds what is lost."""
        from functions.send_writes import handle

        def work() -> int:
            try:
                handle(attributes.get("document"), self._system.outbox())
            except StoreUnavailable:
                return 503
            return 204

        status = guarded(self._system, "send_writes", str(attributes.get("traceparent", "")), work)
        if status != 204:
            flask.abort(status)

    def run_job(self, request: flask.Request) -> flask.Response:
        from functions.run_job import handle

        def work() -> flask.Response:
            answer = handle(request, self._jobs())
            if answer.status_code == 200:
                self._system.remember_list_protocol()
            return answer

        return guarded(self._system, "run_job", request.headers.get("traceparent", ""), work)

    def _built_store(self) -> Store:
        from functions.store_record import Store
        from shared.queue.single_flight import SingleFlight

        system = self._system
        return Store(
            refresh=system.refresh(Lane.LIVE),
            records=system.records(),
            queue=system.queue(),
            single_flight=SingleFlight(),
            now=utc_now,
            sleep=time.sleep,
            random=random.random,
        )

    def _built_jobs(self) -> Jobs:
        from functions.run_job import Jobs

        system = self._system
        return Jobs(
            parts=system.parts,
            refresh_token=lambda force: system.token_refresher().refresh_if_due(force=force).as_json(),
            deadline=timedelta(seconds=system.job().deadline_seconds),
        )


def guarded(system: System, function: str, traceparent: str, work: Callable[[], T]) -> T:
    """Run one request of `function`. Its log lines belong together. An exception becomes one log line, since a
    traceback would show what was being handled.
    """
    system.logging()
    with log_context(function, traceparent, system.project()):
        try:
            return work()
        except Exception as error:
            log_crash(function, error)
            flask.abort(500)


FUNCTIONS = Functions(System(os.environ))


@functions_framework.errorhandler(400)  # type: ignore[untyped-decorator]
@functions_framework.errorhandler(500)  # type: ignore[untyped-decorator]
def say_nothing(error: Exception) -> tuple[str, int]:
    """The framework's own answers repeat what was sent, or the text of the exception."""
    status = error.code if isinstance(error, HTTPException) and error.code else 500
    return "", status


@functions_framework.http
def receive_webhook(request: flask.Request) -> flask.Response:
    return FUNCTIONS.receive_webhook(request)


@functions_framework.cloud_event
def store_record(event: CloudEvent) -> None:
    FUNCTIONS.store_record(event.data)


@functions_framework.cloud_event
def send_writes(event: CloudEvent) -> None:
    FUNCTIONS.send_writes(event.get_attributes())


@functions_framework.http
def run_job(request: flask.Request) -> flask.Response:
    return FUNCTIONS.run_job(request)
