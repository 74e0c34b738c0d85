"""Turns the status and body of an answer into data, or into one error of `shared.errors`. Nothing else does. Pure.

Sources: guide, "Error Handling"; DrChrono's support pages; recorded answers (a 401 is HTML, a failed bulk list is a 500
with a JSON `status`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared import exact_json
from shared.drchrono.calls import Call
from shared.drchrono.retry import throttled_until
from shared.errors import (
    BadRequest,
    BulkExpired,
    BulkFailed,
    Conflict,
    DrChronoError,
    Forbidden,
    MalformedAnswer,
    NotFound,
    OutcomeUnknown,
    ServerError,
    Throttled,
    Unauthorized,
)

# The `status` of a bulk list that DrChrono gave up (documentation of `patients_list` and `line_items_list`).
GIVEN_UP = frozenset({"Error", "Failed", "Canceled"})

# The texts that identify errors are within this many bytes.
TEXT_BYTES = 2000

MOST_NAMED_FIELDS = 5


@dataclass(frozen=True)
class Answer:
    """An HTTP response. If the body did not arrive whole, `flaw` says why and `body` is empty."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    flaw: str = ""


def data_of(call: Call, answer: Answer, now: datetime) -> Any:
    """Return the JSON object in the answer to `call`; None for an update, whose answer is empty.

    A page of the edge in front of DrChrono (`200 text/html`) says nothing about a write: its outcome is unknown.

    Raises the DrChronoError that matches the answer.
    """
    if not 200 <= answer.status < 300:
        raise _error(call, answer, now)
    if call.writes and call.method != "POST" and (answer.status == 204 or not (answer.body or answer.flaw)):
        return None
    data = _parsed(answer.body)
    if not isinstance(data, dict):
        raise _unusable(call, answer)
    if call.bulk and data.get("status") in GIVEN_UP:
        raise _given_up(call, answer)
    return None if call.writes and call.method != "POST" else data


def _error(call: Call, answer: Answer, now: datetime) -> DrChronoError:
    status, text = answer.status, answer.body[:TEXT_BYTES].decode(errors="replace")
    if status == 429:
        until = throttled_until(now, retry_after=answer.headers.get("Retry-After"), text=text)
        return Throttled(call.operation, until=until)
    if call.writes and (status < 400 or status >= 500 or status == 408):
        # A 500, or a gateway's 502 or 504, does not say whether the write took effect.
        return _unknown(call, status)
    if status >= 500:
        data = _parsed(answer.body) if call.bulk else None
        given_up = isinstance(data, dict) and data.get("status") in GIVEN_UP
        return _given_up(call, answer) if given_up else ServerError(call.operation, status=status)
    if status in (400, 404) and call.bulk and "Invalid uuid" in text:
        return BulkExpired(call.operation, status=status)
    refusal = _refusal(call, answer)
    if call.writes:
        refusal.complaints = complaints_of(answer.body)
    return refusal


def _refusal(call: Call, answer: Answer) -> DrChronoError:
    match answer.status:
        case 401:
            remedy = "the access token was refused; if this lasts, run `python -m ops authorize`"
            return Unauthorized(call.operation, status=401, remedy=remedy)
        case 403:
            remedy = f"the token needs the scope {call.scope}, and its DrChrono user the permission"
            return Forbidden(call.operation, status=403, remedy=remedy)
        case 404:
            return NotFound(call.operation, status=404)
        case 409:
            return Conflict(call.operation, status=409, remedy="it conflicts with an existing record")
        case status:
            return BadRequest(call.operation, status=status, remedy=_complaint(answer.body))


def _complaint(body: bytes) -> str:
    """Return the names of the fields that a 400 rejects (`{"doctor": ["…"]}`). Its texts repeat values: drop them."""
    data = _parsed(body)
    names = [name for name in data if re.fullmatch(r"[a-z0-9_]{1,60}", name)] if isinstance(data, dict) else []
    return f"DrChrono names {', '.join(names[:MOST_NAMED_FIELDS])}" if names else ""


def complaints_of(body: bytes) -> dict[str, list[str]]:
    """Return the complaints of a refused write by field; complaints about no field are under `detail`.

    Forms: `{"field": ["message"]}` or a bare `["message"]` (recorded answers).
    """
    data = _parsed(body)
    found: dict[str, list[str]] = {}
    for name, texts in (data if isinstance(data, dict) else {"detail": data}).items():
        field = name if re.fullmatch(r"[a-z0-9_]{1,60}", name) else "detail"
        for text in texts if isinstance(texts, list) else [texts]:
            if isinstance(text, str) and len(found.setdefault(field, [])) < MOST_NAMED_FIELDS:
                found[field].append(text[:TEXT_BYTES])
    return {name: texts for name, texts in found.items() if texts}


def _unusable(call: Call, answer: Answer) -> DrChronoError:
    if call.writes:
        return _unknown(call, answer.status)
    return MalformedAnswer(call.operation, status=answer.status, remedy=answer.flaw or "it is not a JSON object")


def _unknown(call: Call, status: int) -> OutcomeUnknown:
    return OutcomeUnknown(call.operation, status=status, remedy="look in DrChrono before you send it again")


def _given_up(call: Call, answer: Answer) -> BulkFailed:
    return BulkFailed(call.operation, status=answer.status, remedy="DrChrono gave up making the list")


def _parsed(body: bytes) -> Any:
    """Return the JSON in `body`, or None. Numbers keep every digit. NaN is accepted, as in Python's `json`."""
    try:
        return exact_json.loads(body)
    except (ValueError, RecursionError):
        return None
