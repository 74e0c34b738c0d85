"""The 401 and the 429, which both the API and injected faults send."""

from __future__ import annotations

from simulator.messages import Response, answer, html


def throttled(seconds: float, *headers: tuple[str, str]) -> Response:
    """Return the 429 of DrChrono's support pages, including its `.0`."""
    text = f"Request was throttled. Expected available in {float(seconds):.1f} seconds."
    return answer(429, {"detail": text}, *headers)


def unauthorized(*, live: bool) -> Response:
    """Return a 401. The live one is not JSON (seen in recorded exchanges); the guide specifies only the status."""
    if live:
        challenge = 'Bearer error="invalid_token", error_description="The access token is invalid or has expired."'
        return html(401, "Authorization failed.", ("WWW-Authenticate", challenge))
    detail = {"detail": "Invalid or expired access token."}
    return answer(401, detail, ("WWW-Authenticate", 'Bearer error="invalid_token"'))
