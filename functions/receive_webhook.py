"""`receive_webhook`: verifies a delivery, reads it, publishes its event and answers 204. The only public function.

DrChrono considers a delivery successful after any 2xx, and otherwise repeats it after 1, 3 and 7 hours. So this
function answers 2xx only if the event is durable or not needed. It never answers 3xx.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime

from flask import Request, Response

from functions.request_body import read_body
from shared.errors import PublishFailed, SettingsError, WebhookRejected
from shared.log import log
from shared.settings import WebhookSettings
from shared.webhooks.deliveries import answer_handshake, is_authentic, read_delivery
from shared.webhooks.events import Change, encode

Publish = Callable[[bytes, Mapping[str, str]], None]

# W3C Trace Context, version 00. Google's front end adds it.
_TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def handle(
    request: Request,
    *,
    settings: WebhookSettings,
    publish: Publish,
    now: Callable[[], datetime],
) -> Response:
    """Answer a request, whatever its content.

    `publish` returns when Pub/Sub has the message, and raises PublishFailed otherwise. `now` is UTC.
    """
    try:
        if not settings.secrets or not all(settings.secrets):
            return misconfigured(SettingsError(["DRCHRONO_WEBHOOK_SECRET is empty: set it to the webhook's token."]))
        if request.method == "POST":
            _receive(request, settings, publish, now)
            return Response(status=204)
        if request.method == "HEAD":
            return _json(200, {})
        if request.method == "GET" and settings.handshake:
            token = answer_handshake(request.args.get("msg", ""), settings.secrets[0])
            log("webhook.handshake")
            return _json(200, {"secret_token": token})
        raise WebhookRejected("method_not_allowed", 405)
    except WebhookRejected as refused:
        log("webhook.rejected", "WARNING", reason=refused.reason, status=refused.status)
        response = _json(refused.status, {"reason": refused.reason})
        if refused.status == 405:
            response.headers["Allow"] = "GET, HEAD, POST" if settings.handshake else "HEAD, POST"
        return response


def misconfigured(error: SettingsError) -> Response:
    """Return the answer to every request while a setting is wrong. It names the setting, never its value."""
    setting = error.problems[0].split(" ", 1)[0]  # each problem begins with the name of its setting
    log("webhook.rejected", "ERROR", reason=error.reason, status=500, setting=setting, error=str(error))
    return _json(500, {"reason": error.reason, "setting": setting})


def _receive(request: Request, settings: WebhookSettings, publish: Publish, now: Callable[[], datetime]) -> None:
    received_at = now()
    body = read_body(request)
    signature = request.headers.get("X-drchrono-signature", "").encode("utf-8", "surrogatepass")
    if not is_authentic(body, signature, secrets=settings.secrets, form=settings.signature):
        raise WebhookRejected("bad_signature", 401)
    delivery = read_delivery(
        body,
        event_header=request.headers.get("X-drchrono-event", ""),
        delivery_header=request.headers.get("X-drchrono-delivery", ""),
        received_at=received_at,
    )
    if delivery.event_differs:
        log("webhook.event_differs", "WARNING", event=delivery.event)
    change = delivery.change
    if change is None:
        log("webhook.ignored", event=delivery.event)
        return
    _publish(change, request.headers.get("traceparent", ""), publish)
    log(
        "webhook.accepted",
        event=change.event,
        kind=change.kind,
        id=change.id,
        delivery=change.delivery,
        ms=round((now() - received_at).total_seconds() * 1000, 1),
    )


def _publish(change: Change, traceparent: str, publish: Publish) -> None:
    """Return when Pub/Sub has the change. Raises WebhookRejected, after which DrChrono delivers again."""
    attributes = {"event": change.event, "kind": change.kind}
    if _TRACEPARENT.fullmatch(traceparent):
        attributes["traceparent"] = traceparent
    try:
        publish(encode(change), attributes)
    except PublishFailed as failed:
        # DrChrono repeats the delivery after 1, 3 and 7 hours. Meanwhile the sync finds the change.
        log("webhook.not_durable", "ERROR", event=change.event, kind=change.kind, id=change.id, error=str(failed))
        raise WebhookRejected("not_durable", 503) from None


def _json(status: int, fields: Mapping[str, str]) -> Response:
    body = json.dumps(fields).encode()
    # functions-framework treats an iterator as a streamed response. Before any other response, it reads the rest of the
    # request into memory, and raises again if reading it had failed.
    response = Response(iter([body]), status, mimetype="application/json")
    response.content_length = len(body)
    response.headers["Cache-Control"] = "no-store"
    return response
