"""The front door: verify, read, make durable, 204. The only function that the world can reach.

DrChrono looks at nothing but the status: any 2xx is delivered, everything else comes again after 1, 3 and 7 hours.
So 2xx is answered only for an event that cannot be lost any more, or that is of no use; and never a 3xx.
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
    """Answers every request, whatever it holds.

    `publish` returns when the broker has the message, and raises PublishFailed otherwise. `now` is UTC.
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
    """The answer to every request while the environment is wrong: which setting, never what it holds."""
    setting = error.problems[0].split(" ", 1)[0]  # each problem begins with the setting it is about
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
    _keep(change, request.headers.get("traceparent", ""), publish)
    log(
        "webhook.accepted",
        event=change.event,
        kind=change.kind,
        id=change.id,
        delivery=change.delivery,
        ms=round((now() - received_at).total_seconds() * 1000, 1),
    )


def _keep(change: Change, traceparent: str, publish: Publish) -> None:
    """Returns once Pub/Sub has the change. Raises WebhookRejected: DrChrono delivers it again."""
    attributes = {"event": change.event, "kind": change.kind}
    if _TRACEPARENT.fullmatch(traceparent):
        attributes["traceparent"] = traceparent
    try:
        publish(encode(change), attributes)
    except PublishFailed as failed:
        # Until it comes again, after 1, 3 and 7 hours, the sync finds what changed.
        log("webhook.not_durable", "ERROR", event=change.event, kind=change.kind, id=change.id, error=str(failed))
        raise WebhookRejected("not_durable", 503) from None


def _json(status: int, fields: Mapping[str, str]) -> Response:
    body = json.dumps(fields).encode()
    # An iterator makes it a streamed response in the eyes of the functions-framework, which before sending any other
    # reads all that is left of the request into memory, and raises once more where reading it has failed.
    response = Response(iter([body]), status, mimetype="application/json")
    response.content_length = len(body)
    response.headers["Cache-Control"] = "no-store"
    return response
