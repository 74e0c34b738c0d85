"""Requests and responses, independent of sockets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode

Wire = Literal["whole", "truncated", "reset", "closed"]
"""What the socket does: sends everything, sends half of it, resets the connection, or closes it without an answer."""


@dataclass(frozen=True, kw_only=True)
class Request:
    method: str
    path: str
    """Without the query, and without a trailing slash."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes = b""
    origin: str = ""
    """`http://host:port` from the caller's Host header."""
    target: str = ""
    """Path and query exactly as sent."""
    local: bool = True
    """Whether the request came over the loopback interface."""

    def form(self) -> dict[str, Any]:
        """Return the fields of a JSON or form-encoded body. Raises RefusedError (400) if it is neither."""
        if "json" in self.headers.get("content-type", ""):
            try:
                parsed = json.loads(self.body or b"{}")
            except ValueError as error:
                raise RefusedError(400, {"detail": f"JSON parse error - {error}"}) from None
            if not isinstance(parsed, dict):
                raise RefusedError(400, {"non_field_errors": ["Invalid data. Expected a dictionary."]})
            return parsed
        return dict(parse_qsl(self.body.decode(errors="replace"), keep_blank_values=True))

    def link(self, origin: str | None, **changes: object) -> str:
        """Return this request's URL with query parameters changed, or removed where the value is None."""
        query = {**self.query, **changes}
        text = urlencode({name: value for name, value in query.items() if value is not None})
        return f"{origin or self.origin}{self.path}?{text}"


@dataclass(frozen=True, kw_only=True)
class Response:
    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    wire: Wire = "whole"
    delay_seconds: float = 0.0
    """Real seconds to wait before the answer."""


class RefusedError(Exception):
    """The request is refused with this response."""

    def __init__(self, status: int, body: object, *headers: tuple[str, str]) -> None:
        super().__init__(status)
        self.response = answer(status, body, *headers)


def answer(status: int, body: object, *headers: tuple[str, str]) -> Response:
    """Return a JSON response."""
    return Response(status=status, body=json.dumps(body).encode(), headers=headers)


def html(status: int, text: str, *headers: tuple[str, str]) -> Response:
    return Response(status=status, body=text.encode(), content_type="text/html; charset=utf-8", headers=headers)


def redirect(location: str) -> Response:
    return Response(status=302, content_type="text/html; charset=utf-8", headers=(("Location", location),))


NO_CONTENT = Response(status=204)
NOT_FOUND = {"detail": "Not found."}
