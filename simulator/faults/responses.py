"""The responses that faults produce."""

from __future__ import annotations

import dataclasses

from simulator.api.refusals import throttled, unauthorized
from simulator.faults.rules import Rule
from simulator.messages import Request, Response, answer, html

_GATEWAY = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"


def replacement(rule: Rule, request: Request, *, live: bool) -> Response:
    """Return the response that replaces the real one."""
    match rule.fault:
        case "500":
            return html(500, "<h1>Server Error (500)</h1>")
        case "502":
            return html(502, _GATEWAY.format("502 Bad Gateway"))
        case "503":
            return html(503, _GATEWAY.format("503 Service Temporarily Unavailable"))
        case "429":
            text = None if rule.retry_after is None or isinstance(rule.retry_after, str) else float(rule.retry_after)
            header = () if rule.retry_after is None else (("Retry-After", f"{rule.retry_after}"),)
            return throttled(60.0 if text is None else text, *header)
        case "401":
            return unauthorized(live=live)
        case "403":
            return answer(403, {"detail": "You do not have permission to perform this action."})
        case "html":
            return html(200, "<html><body><h1>We are performing maintenance</h1></body></html>")
        case "garbage":
            return Response(status=200, body=b'{"results": [{"id": 1, "first_na\x00me": ')
        case "error_status":
            body = {"status": rule.status, "uuid": request.query.get("uuid"), "detail": "The list could not be made."}
            return answer(500, body)
        case "timeout":
            return Response(status=0, wire="closed", delay_seconds=rule.seconds)
        case _:
            return Response(status=0, wire="reset")


def damaged(rule: Rule, response: Response) -> Response:
    """Return the real response, damaged: late, truncated or lost."""
    match rule.fault:
        case "slow":
            return dataclasses.replace(response, delay_seconds=rule.seconds)
        case "truncate":
            return dataclasses.replace(response, wire="truncated")
        case _:
            return dataclasses.replace(response, wire="closed")
