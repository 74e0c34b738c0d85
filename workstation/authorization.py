"""Authorizes this system with DrChrono: the URL to open, the redirect with the code, and the exchange for a token pair.

Guide, "Initial Authorization". A person does this once. From then on, the pair is refreshed automatically.
"""

from __future__ import annotations

import hmac
import http.server
import queue
import secrets
import socket
from collections.abc import Callable
from typing import Any, Protocol, Self
from urllib.parse import parse_qs, urlencode, urlsplit

import requests

from shared.tokens.token import Answer, Granted

# Guide, "Required Scopes": the scopes for reading, and the additional ones for writing.
READ_SCOPES = ("patients:read", "clinical:read", "calendar:read", "user:read")
WRITE_SCOPES = ("patients:write", "calendar:write")
LOOPBACK = ("127.0.0.1", "localhost", "::1")
REACH_SECONDS = 10.0
_PAGE = "<!doctype html><title>{0}</title><p>{0}."
_RECEIVED = "Received. You can close this window"
_OF_ANOTHER = "This belongs to another authorization: open the address that the terminal shows now"


class AuthorizationFailed(Exception):
    """The text says what happened and what to do."""


class Endpoint(Protocol):
    """The methods of `shared.tokens.endpoint.TokenEndpoint` that are needed here."""

    def exchange(self, code: str, redirect_uri: str) -> Answer: ...


def new_state() -> str:
    """Return a value that the redirect must contain, so that nobody can inject the code of another account."""
    return secrets.token_urlsafe(32)


def check_reachable(url: str) -> None:
    """Check that DrChrono's origin answers, before a person is sent there. Raises AuthorizationFailed."""
    try:
        requests.head(f"{url}/o/token/", timeout=REACH_SECONDS, allow_redirects=False)
    except requests.RequestException as error:
        raise AuthorizationFailed(
            f"{url} does not answer ({type(error).__name__}), so nothing was begun: check DRCHRONO_URL and the network"
        ) from None


def scopes(*, writes: bool) -> tuple[str, ...]:
    """Return the scopes to request. writes: whether other programs may have records created and changed."""
    return READ_SCOPES + WRITE_SCOPES if writes else READ_SCOPES


def authorization_url(url: str, *, client_id: str, redirect_uri: str, state: str, writes: bool = False) -> str:
    """Return the URL at which a person allows the access. url: DrChrono's origin. writes: see `scopes`."""
    query = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": " ".join(scopes(writes=writes)),
        "state": state,
    }
    return f"{url}/o/authorize/?{urlencode(query)}"


def read_redirect(redirected: str, state: str) -> str:
    """Return the code from the URL (or path) to which DrChrono redirected the browser. Raises AuthorizationFailed."""
    fields = parse_qs(urlsplit(redirected).query)
    if not _is_of(redirected, state):
        raise AuthorizationFailed("the redirect belongs to another authorization: open the printed URL again")
    if "error" in fields:
        denied = fields["error"][0] == "access_denied"
        raise AuthorizationFailed(
            "the access was not allowed: open the URL again and choose Authorize"
            if denied
            else "DrChrono refused the authorization: compare client id, redirect URI and scopes with its API console"
        )
    if not fields.get("code"):
        raise AuthorizationFailed("the redirect brought no code: open the printed URL again")
    return fields["code"][0]


def _is_of(redirected: str, state: str) -> bool:
    given = parse_qs(urlsplit(redirected).query).get("state", [""])[0]
    return hmac.compare_digest(given.encode(errors="replace"), state.encode())


def adopt(code: str, redirect_uri: str, endpoint: Endpoint, adopt: Callable[[Granted], None]) -> Granted:
    """Exchange the code for a pair and store it (`TokenRefresher.adopt`). Raises AuthorizationFailed."""
    answer = endpoint.exchange(code, redirect_uri)
    if not isinstance(answer, Granted):
        raise AuthorizationFailed(_REFUSALS.get(answer.reason, _OTHER_REFUSAL.format(answer.reason)))
    adopt(answer)
    return answer


# By the reason of the token endpoint's refusal (`shared.tokens.endpoint`).
_REFUSALS = {
    "invalid_grant": "DrChrono refused the code: it expires after a minute, works once, and only with the redirect "
    "URI that it was requested with; authorize again, and do not wait",
    "invalid_client": "DrChrono does not know this client id with this client secret: compare DRCHRONO_CLIENT_ID and "
    "DRCHRONO_CLIENT_SECRET with its API console",
    "throttled": "DrChrono accepts no more requests for now: authorize again in an hour",
    "unreachable": "DrChrono was not reached: check the network and DRCHRONO_URL, and authorize again",
}
_OTHER_REFUSAL = "DrChrono gave no token for the code ({}): authorize again"


def _port_of(url: str) -> int:
    """Return 0 if the address has no port that can be listened on."""
    try:
        return urlsplit(url).port or 0
    except ValueError:
        return 0


class RedirectListener:
    """Waits on this machine for the redirect: `with RedirectListener(uri) as listener: listener.wait(state)`.

    redirect_uri: an `http://127.0.0.1:<port>/…` that is registered with DrChrono. Raises AuthorizationFailed for
    another address, or if its port is in use. Any web page can call the port, so only a request with the state ends the
    wait.
    """

    def __init__(self, redirect_uri: str) -> None:
        parts = urlsplit(redirect_uri)
        if parts.scheme != "http" or parts.hostname not in LOOPBACK or not _port_of(redirect_uri):
            raise AuthorizationFailed(
                "DRCHRONO_REDIRECT_URI must be http://127.0.0.1:<port>/<path> here, as registered with DrChrono"
            )
        self._path = parts.path or "/"
        self._state = ""
        self._redirected: queue.SimpleQueue[str] = queue.SimpleQueue()
        try:
            self._server = _Server(
                (parts.hostname or "", _port_of(redirect_uri)), self._handler(), bind_and_activate=True
            )
        except OSError:
            raise AuthorizationFailed(
                f"port {_port_of(redirect_uri)} of DRCHRONO_REDIRECT_URI is in use: "
                "free it, or register another redirect URI with DrChrono"
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.server_close()

    def wait(self, state: str) -> str:
        """Return the code as soon as the redirect arrives. Raises AuthorizationFailed."""
        self._state = state
        while self._redirected.empty():
            self._server.handle_request()
        return read_redirect(self._redirected.get(), state)

    def _handler(listener) -> type[http.server.BaseHTTPRequestHandler]:  # noqa: N805 - `self` is the request's, below
        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = 10  # browsers open connections in advance and send nothing

            def do_GET(self) -> None:
                ours = urlsplit(self.path).path == listener._path
                awaited = ours and _is_of(self.path, listener._state)
                page = _PAGE.format(_RECEIVED if awaited else _OF_ANOTHER if ours else "Nothing is here").encode()
                self.send_response(200 if awaited else 400 if ours else 404)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(page)))
                self.end_headers()
                self.wfile.write(page)
                if awaited:  # the browser has received its page, so the process may end now
                    listener._redirected.put(self.path)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the inherited name
                """Log nothing: the path contains the code."""

        return Handler


class _Server(http.server.ThreadingHTTPServer):
    """One thread per connection, so that an idle connection does not block others."""

    daemon_threads = True
    timeout = 0.1  # of `handle_request`: how often `wait` checks whether a thread received the redirect

    def __init__(self, address: tuple[str, int], *args: Any, **options: Any) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, *args, **options)

    def server_bind(self) -> None:
        # The inherited method resolves the host name, which takes seconds on machines without DNS.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
