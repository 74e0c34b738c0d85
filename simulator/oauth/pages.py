"""The OAuth endpoints `/o/authorize/`, `/o/token/` and `/o/revoke_token/`: RFC 6749 with DrChrono's deviations."""

from __future__ import annotations

import base64
import binascii
from html import escape
from urllib.parse import urlencode

from simulator.config import Config
from simulator.messages import RefusedError, Request, Response, answer, html, redirect
from simulator.oauth.tokens import SCOPES, InvalidGrantError, Tokens
from simulator.practice.store import Fields

_PAGE = """<!doctype html><title>Authorize</title><h1>Simulated DrChrono</h1>
<p>Application <b>{client}</b> asks for: {scope}</p>
<form method="post"><button name="allow" value="yes">Authorize</button>
<button name="allow" value="no">Cancel</button></form>"""


class OAuth:
    """Answers requests under `/o/`."""

    def __init__(self, config: Config, tokens: Tokens) -> None:
        self._config, self._tokens = config, tokens

    def handle(self, request: Request) -> Response:
        page = (request.method, request.path)
        if page == ("GET", "/o/authorize"):
            return self._authorize(dict(request.query), self._config.approve)
        if page == ("POST", "/o/authorize"):
            form = request.form()
            return self._authorize({**request.query, **form}, "auto" if form.get("allow") == "yes" else "deny")
        if page == ("POST", "/o/token"):
            return self._token(request)
        if page == ("POST", "/o/revoke_token"):
            form = self._client(request)
            self._tokens.revoke(str(form.get("token", "")))
            return answer(200, {})
        if request.path in ("/o/authorize", "/o/token", "/o/revoke_token"):
            return html(405, "<h1>Method Not Allowed</h1>")
        return html(404, "<h1>Not Found</h1>")

    def _authorize(self, asked: Fields, approve: str) -> Response:
        # Show a wrong client or redirect address to the user. A redirect could lead to an attacker.
        if asked.get("client_id") != self._config.client_id:
            return html(400, "<h1>Error: invalid_client_id</h1><p>Invalid client_id parameter value.</p>")
        redirect_uri = asked.get("redirect_uri", "")
        if redirect_uri not in self._config.redirect_uris:
            return html(400, "<h1>Error: mismatching_redirect_uri</h1><p>Mismatching redirect URI.</p>")
        state = {"state": asked["state"]} if "state" in asked else {}

        def back(**result: str) -> Response:
            separator = "&" if "?" in redirect_uri else "?"
            return redirect(f"{redirect_uri}{separator}{urlencode({**result, **state})}")

        if asked.get("response_type") != "code":
            return back(error="unsupported_response_type")
        scope = asked.get("scope") or " ".join(sorted(SCOPES))  # no scope means all scopes
        if not set(scope.split()) <= SCOPES:
            return back(error="invalid_scope")
        if approve == "page":
            # The form posts to its own URL, including the query.
            return html(200, _PAGE.format(client=escape(self._config.client_id), scope=escape(scope)))
        if approve == "deny":
            return back(error="access_denied")
        return back(code=self._tokens.new_code(redirect_uri, scope))

    def _token(self, request: Request) -> Response:
        form = self._client(request)
        try:
            if form.get("grant_type") == "authorization_code":
                pair = self._tokens.exchange(str(form.get("code", "")), str(form.get("redirect_uri", "")))
            elif form.get("grant_type") == "refresh_token":
                pair = self._tokens.refresh(str(form.get("refresh_token", "")))
            else:
                raise RefusedError(400, {"error": "unsupported_grant_type"})
        except InvalidGrantError:
            # DrChrono's support pages say 401, where the standard has 400.
            raise RefusedError(401, {"error": "invalid_grant"}) from None
        return answer(200, self._tokens.answer(pair), ("Cache-Control", "no-store"), ("Pragma", "no-cache"))

    def _client(self, request: Request) -> Fields:
        """Return the form of a request. Raises RefusedError (401) if its client credentials are wrong.

        Credentials are in the form or in a Basic header.
        """
        form = request.form()
        given = (form.get("client_id"), form.get("client_secret"))
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "basic":
            try:
                name, _, password = base64.b64decode(encoded).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                name = password = ""
            given = (name, password)
        if given != (self._config.client_id, self._config.client_secret):
            raise RefusedError(401, {"error": "invalid_client"})
        return form
