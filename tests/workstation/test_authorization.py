"""The redirect with the code: which requests are accepted, and the messages for the others."""

from __future__ import annotations

import socket
from urllib.parse import parse_qs, urlsplit

import pytest

from shared.tokens.token import Answer, Granted, Refused
from workstation.authorization import AuthorizationFailed, RedirectListener, adopt, authorization_url, read_redirect


@pytest.mark.parametrize(
    ("writes", "scopes"),
    [
        (False, "patients:read clinical:read calendar:read user:read"),
        (True, "patients:read clinical:read calendar:read user:read patients:write calendar:write"),
    ],
)
def test_the_url_asks_for_the_scopes_that_are_used(writes: bool, scopes: str) -> None:
    redirect_uri = "http://127.0.0.1:8765/x"
    url = authorization_url(
        "https://drchrono.com", client_id="c&d", redirect_uri=redirect_uri, state="s", writes=writes
    )
    assert url.startswith("https://drchrono.com/o/authorize/?")
    assert parse_qs(urlsplit(url).query) == {
        "response_type": ["code"],
        "client_id": ["c&d"],
        "redirect_uri": ["http://127.0.0.1:8765/x"],
        "scope": [scopes],
        "state": ["s"],
    }


def test_the_code_is_read_from_a_whole_address_and_from_a_path() -> None:
    assert read_redirect("http://127.0.0.1:8765/callback?code=abc&state=s", "s") == "abc"
    assert read_redirect("/callback?state=s&code=abc", "s") == "abc"


@pytest.mark.parametrize(
    ("redirected", "told"),
    [
        ("/callback?code=abc", "belongs to another authorization"),
        ("/callback?code=abc&state=another", "belongs to another authorization"),
        ("/callback?code=abc&state=%C3%A9", "belongs to another authorization"),
        ("/callback?state=s", "brought no code"),
        ("/callback?state=s&error=access_denied", "was not allowed"),
        ("/callback?state=s&error=invalid_scope", "compare client id, redirect URI and scopes"),
    ],
)
def test_any_other_redirect_is_refused_and_its_code_not_repeated(redirected: str, told: str) -> None:
    with pytest.raises(AuthorizationFailed, match=told) as refused:
        read_redirect(redirected, "s")
    assert "abc" not in str(refused.value)


def test_a_refused_code_is_reported_with_the_reason_and_nothing_is_stored() -> None:
    class Endpoint:
        def exchange(self, code: str, redirect_uri: str) -> Answer:
            return Refused("invalid_grant")

    adopted: list[Granted] = []
    with pytest.raises(AuthorizationFailed, match="authorize again"):
        adopt("abc", "http://127.0.0.1:8765/callback", Endpoint(), adopted.append)
    assert adopted == []


@pytest.mark.parametrize(
    "uri",
    ["https://127.0.0.1:8765/callback", "http://example.com:80/x", "http://127.0.0.1/x", "http://127.0.0.1:99999/x"],
)
def test_only_a_plain_loopback_address_with_a_port_is_listened_on(uri: str) -> None:
    with pytest.raises(AuthorizationFailed, match="DRCHRONO_REDIRECT_URI must be"):
        RedirectListener(uri)


def test_a_redirect_port_in_use_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AuthorizationFailed, match=f"port {port} of DRCHRONO_REDIRECT_URI is in use"):
            RedirectListener(f"http://127.0.0.1:{port}/callback")
