"""The responses that faults produce."""

from __future__ import annotations

import dataclasses
import json
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from simulator.api.refusals import throttled, unauthorized
from simulator.faults.rules import Rule
from simulator.messages import Request, Response, answer, html

_GATEWAY = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"
_PAGES = {
    "500": (500, "<h1>Server Error (500)</h1>"),
    "502": (502, _GATEWAY.format("502 Bad Gateway")),
    "503": (503, _GATEWAY.format("503 Service Temporarily Unavailable")),
    "504": (504, _GATEWAY.format("504 Gateway Time-out")),
    "html": (200, "<html><body><h1>We are performing maintenance</h1></body></html>"),
}


def replacement(rule: Rule, request: Request, *, live: bool) -> Response:
    """Return the response that replaces the real one."""
    return dataclasses.replace(_replacement(rule, request, live=live), delay_seconds=rule.wait_seconds)


def _replacement(rule: Rule, request: Request, *, live: bool) -> Response:
    match rule.fault:
        case "429":
            text = None if rule.retry_after is None or isinstance(rule.retry_after, str) else float(rule.retry_after)
            header = () if rule.retry_after is None else (("Retry-After", f"{rule.retry_after}"),)
            return throttled(60.0 if text is None else text, *header)
        case "401":
            return unauthorized(live=live)
        case "403":
            return answer(403, {"detail": "You do not have permission to perform this action."})
        case "garbage":
            return Response(status=200, body=b'{"results": [{"id": 1, "first_na\x00me": ')
        case "error_status":
            status, detail = rule.status or "Error", "The list could not be made."
            return answer(500, {"status": status, "uuid": request.query.get("uuid"), "detail": detail})
        case "answer":
            return _chosen(rule)
        case "timeout":
            return Response(status=0, wire="closed")
        case "reset":
            return Response(status=0, wire="reset")
        case _:
            return html(*_PAGES[rule.fault])


def _chosen(rule: Rule) -> Response:
    is_text = isinstance(rule.body, str)
    body = rule.body.encode() if is_text else json.dumps(rule.body).encode()
    kind = rule.content_type or ("text/html; charset=utf-8" if is_text else "application/json")
    return Response(status=int(rule.status or 500), body=body, content_type=kind)


def damaged(rule: Rule, request: Request, response: Response) -> Response:
    """Return the real response, damaged: late, incomplete, changed or lost."""
    match rule.fault:
        case "slow":
            return dataclasses.replace(response, delay_seconds=rule.wait_seconds)
        case "drip":
            return dataclasses.replace(response, drip_seconds=rule.wait_seconds)
        case "truncate":
            return dataclasses.replace(response, wire="truncated")
        case "malformed":
            return dataclasses.replace(response, body=response.body[: -1 - len(response.body) // 10] or b"{")
        case "next":
            return _with_link(rule, request, response)
        case "edit":
            return _edited(rule, request, response)
        case "error_after_write":
            return html(*_PAGES["502"])
        case _:
            return dataclasses.replace(response, wire="closed")


def _with_link(rule: Rule, request: Request, response: Response) -> Response:
    body = _parsed(response)
    if not isinstance(body, dict):
        return response
    following = body.get("next")
    match rule.link:
        case "first":
            following = request.link(None, cursor=None, page=None)
        case "self":
            following = f"{request.origin}{request.target}"
        case "none":
            following = None
        case str():
            following = rule.link
    if rule.origin and following:
        origin, parts = urlsplit(rule.origin), urlsplit(following)
        following = urlunsplit((origin.scheme, origin.netloc, *parts[2:]))
    return dataclasses.replace(response, body=json.dumps({**body, "next": following}).encode())


def _edited(rule: Rule, request: Request, response: Response) -> Response:
    """Replace fields of the object in the body, or of the record `id` in a list."""
    body = _parsed(response)
    if not isinstance(body, dict):
        return response
    fields = dict(rule.fields or {})
    name = results_name(body)
    if rule.match.id is None or name is None:
        body |= fields
    else:
        key = str(rule.match.id)
        body[name] = [{**one, **fields} if record_id(one) == key else one for one in body[name]]
    return dataclasses.replace(response, body=json.dumps(body).encode())


def ids_in(response: Response) -> frozenset[str]:
    """Return the ids of the records in the response to a list."""
    body = _parsed(response)
    name = results_name(body) if isinstance(body, dict) else None
    return frozenset(map(record_id, body[name])) if name else frozenset()


def results_name(body: dict[str, Any]) -> str | None:
    return next((name for name in ("results", "data") if isinstance(body.get(name), list)), None)


def record_id(record: dict[str, Any]) -> str:
    return str(record["id"] if "id" in record else record.get("appointment"))


def _parsed(response: Response) -> Any:
    try:
        return json.loads(response.body)
    except ValueError:
        return None
