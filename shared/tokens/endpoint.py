"""DrChrono's token endpoint, `/o/token/`: exchanges a code or a refresh token for a pair (guide, "OAuth 2.0 Flow").

Every outcome is a value of `shared.tokens.token`, so that no exception carries a token. A 401 of this endpoint is an
outcome as well: it means that the grant or the application is refused. The API client never sees it as an API 401.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import requests
from urllib3.exceptions import NewConnectionError

from shared.drchrono.retry import throttled_until
from shared.tokens.token import Answer, Refused, Unavailable, Unknown, read_grant

# Their sum is less than SEND_NEEDS_SECONDS (`state`), the part of the lease that is reserved for one request.
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0

# RFC 6749, section 5.2. Any other word in an answer is not repeated in logs or errors.
OAUTH_ERRORS = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    }
)


class TokenEndpoint:
    """url: DrChrono's origin. Each request has its own session, since there is about one a day."""

    def __init__(self, *, url: str, client_id: str, client_secret: str, now: Callable[[], datetime]) -> None:
        self._url = f"{url}/o/token/"
        self._client_id = client_id
        self._client_secret = client_secret
        self._now = now

    def exchange(self, code: str, redirect_uri: str) -> Answer:
        """Exchange an authorization code: once, within a minute, and with the `redirect_uri` of the authorization."""
        return self._post({"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri})

    def refresh(self, refresh_token: str) -> Answer:
        """Exchange a refresh token for a new pair. The old pair is invalid from then on."""
        return self._post({"grant_type": "refresh_token", "refresh_token": refresh_token})

    def _post(self, form: Mapping[str, str]) -> Answer:
        credentials = {"client_id": self._client_id, "client_secret": self._client_secret}
        try:
            with requests.Session() as session:
                # Ignore ~/.netrc, whose entry would replace the credentials, and proxy settings.
                session.trust_env = False
                response = session.post(
                    self._url,
                    data={**form, **credentials},
                    timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
                    # A redirect would carry the client's secret elsewhere.
                    allow_redirects=False,
                )
        except requests.RequestException as error:
            if _never_sent(error):
                return Unavailable("unreachable", unspent=True)
            return Unknown("no_answer")
        return read_answer(response.status_code, response.headers, response.content, self._now())


def _never_sent(error: requests.RequestException) -> bool:
    """Return whether certainly no connection was made. A TLS failure does not count: it may come after sending."""
    if isinstance(error, requests.ConnectTimeout):
        return True
    cause = error.args[0] if error.args else None
    return isinstance(getattr(cause, "reason", None), NewConnectionError)


def read_answer(status: int, headers: Mapping[str, str], content: bytes, now: datetime) -> Answer:
    """Return what an HTTP answer of the token endpoint means. Never raises."""
    body = _parsed(content)
    if 200 <= status < 300:
        # An HTML page or a truncated body: the token may be spent.
        return read_grant(body) or Unknown("unreadable_answer")
    if status == 429:
        text = content[:1000].decode("utf-8", "replace")
        until = throttled_until(now, retry_after=headers.get("Retry-After"), text=text)
        return Unavailable("throttled", unspent=True, until=until)
    if status >= 500:
        return Unavailable(f"status_{status}", unspent=False)
    error = body.get("error") if isinstance(body, dict) else None
    return Refused(error if isinstance(error, str) and error in OAUTH_ERRORS else f"status_{status}")


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
