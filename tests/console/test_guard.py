"""Who gets nothing: other names, other pages, other users of the machine, and forms that are not ours."""

from __future__ import annotations

import re

import pytest
import requests

from console.guard import Guard
from tests.console.conftest import KEY, Console

GUARD = Guard(8770, KEY)
COOKIES = {"console-8770": KEY}


@pytest.mark.parametrize("host", ["127.0.0.1:8770", "localhost:8770"])
def test_its_own_hosts_are_answered(host: str) -> None:
    assert GUARD.refuses_host(host) is None


@pytest.mark.parametrize(
    "host", ["", "127.0.0.1", "127.0.0.1:8771", "evil.example:8770", "127.0.0.1.evil.example:8770", "[::1]:8770"]
)
def test_a_name_that_was_made_to_lead_here_is_refused(host: str) -> None:
    refused = GUARD.refuses_host(host)
    assert refused is not None
    assert refused.status == 421


@pytest.mark.parametrize("cookies", [{}, {"console-8770": ""}, {"console-8770": "é"}, {"console-8771": KEY}])
def test_without_the_key_nothing_is_shown(cookies: dict[str, str]) -> None:
    refused = GUARD.refuses("GET", {}, cookies)
    assert refused is not None
    assert refused.status == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_another_page_asks_for_is_refused_though_the_cookie_came_along(site: str) -> None:
    """`same-site`: a page on another port of this machine."""
    assert GUARD.refuses("GET", {"Sec-Fetch-Site": site}, COOKIES) is not None


@pytest.mark.parametrize("origin", [None, "null", "http://127.0.0.1:8771", "https://127.0.0.1:8770", "http://evil"])
def test_a_change_needs_our_own_origin(origin: str | None) -> None:
    headers = {"Origin": origin} if origin else {}
    assert GUARD.refuses("POST", headers, COOKIES) is not None
    assert GUARD.refuses("POST", {"Origin": "http://127.0.0.1:8770"}, COOKIES) is None


def test_the_key_is_in_nothing_that_is_printed() -> None:
    assert KEY not in repr(GUARD)


PATHS = ["/", "/stream", "/record?kind=patients&id=1", "/dead-letters", "/confirm/retry?reason=quota", "/nothing"]


@pytest.mark.parametrize("path", PATHS)
def test_every_page_is_refused_without_the_cookie_and_under_another_name(console: Console, path: str) -> None:
    assert requests.get(console.url + path, timeout=10).status_code == 403
    answer = console.web.get(console.url + path, headers={"Host": f"evil.example:{console.port}"}, timeout=10)
    assert answer.status_code == 421


@pytest.mark.parametrize("path", ["/do/retry", "/do/fetch", "/do/replay", "/do/accept-deletions", "/record"])
def test_every_change_is_refused_without_origin_or_token(console: Console, path: str) -> None:
    fields = {"kind": "patients", "id": "1", "reason": "quota", "number": "1", "ticked": "yes"}
    own = {"Origin": console.url}
    for data, headers in (
        ({**fields, "token": console.guard.token}, {}),
        ({**fields, "token": console.guard.token}, {"Origin": "http://127.0.0.1:1"}),
        (fields, own),
        ({**fields, "token": KEY}, own),
    ):
        answer = console.web.post(console.url + path, data, headers=headers, timeout=10)
        assert answer.status_code == 403
        assert "Nothing was done" in answer.text
    assert console.practice.system.queue().waiting() == 0


@pytest.mark.parametrize("path", ["/do/retry", "/do/fetch", "/do/replay", "/do/accept-deletions"])
def test_nothing_is_changed_by_a_link(console: Console, path: str) -> None:
    assert console.web.get(console.url + path, timeout=10).status_code == 405


def test_a_wrong_key_opens_nothing(console: Console) -> None:
    for key in ("", "é", KEY + "x"):
        answer = requests.get(f"{console.url}/enter", params={"key": key}, timeout=10)
        assert answer.status_code == 403
        assert "Set-Cookie" not in answer.headers


def test_the_cookie_is_for_this_page_only(console: Console) -> None:
    answer = requests.get(f"{console.url}/enter", params={"key": KEY}, timeout=10)
    assert answer.headers["Set-Cookie"] == f"console-{console.port}={KEY}; HttpOnly; Path=/; SameSite=Strict"


@pytest.mark.parametrize("path", [*PATHS[:1], *PATHS[2:], "/enter", "/static/console.js"])
def test_every_answer_forbids_scripts_from_elsewhere_frames_and_keeping(console: Console, path: str) -> None:
    headers = console.web.get(console.url + path, timeout=10).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert not re.search(r"https?:|\*", policy)
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"


def test_no_page_has_anything_inline_or_from_elsewhere(console: Console) -> None:
    """What the policy would refuse, a page does not have."""
    for path in ("/", "/dead-letters", "/record?kind=patients&id=1", "/nothing"):
        text = console.get(path)
        assert re.findall(r'(?:src|href|action)="(?!/|#)[^"]*"', text) == []
        assert re.findall(r"<style|\sstyle=|\son\w+=|<script(?! src=\"/static)", text) == []


def test_it_listens_on_loopback_only(console: Console) -> None:
    from console.command import HOST

    assert HOST == "127.0.0.1"
