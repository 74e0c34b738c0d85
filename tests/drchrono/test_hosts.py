"""The addresses that receive the token, and those that never do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.drchrono.hosts import allowed_origins, resolve_link
from shared.drchrono.kinds import KINDS
from shared.errors import DrChronoError, ForeignHost, MalformedAnswer, OutcomeUnknown
from tests.drchrono.conftest import Scripted, client_of

PATIENTS = KINDS["patients"]
DRCHRONO = "https://drchrono.com"


def place(link: str, url: str = DRCHRONO) -> tuple[str, str]:
    seen_at = f"{url}/api/patients_list?page=1"
    return resolve_link(link, seen_at=seen_at, allowed=allowed_origins(url), operation="GET /api/patients_list")


@pytest.mark.parametrize(
    ("link", "origin", "target"),
    [
        ("https://drchrono.com/api/patients?cursor=a%3D", "https://drchrono.com", "/api/patients?cursor=a%3D"),
        ("https://app.drchrono.com/api/patients?page=2", "https://app.drchrono.com", "/api/patients?page=2"),
        ("https://APP.drchrono.com:443/api/users/5", "https://app.drchrono.com", "/api/users/5"),
        ("/api/users/5", "https://drchrono.com", "/api/users/5"),
        ("?page=2", "https://drchrono.com", "/api/patients_list?page=2"),
    ],
)
def test_links_to_drchrono_are_followed_whichever_of_its_hosts_they_name(link: str, origin: str, target: str) -> None:
    assert place(link) == (origin, target)
    assert place(link, "https://app.drchrono.com")[1] == target


@pytest.mark.parametrize(
    "link",
    [
        "http://drchrono.com/api/patients",  # the token would be readable on the way
        "https://www.drchrono.com/api/patients",
        "https://drchrono.com.evil.example/api/patients",
        "https://evil.example/api/patients",
        "https://drchrono.com@evil.example/api/patients",
        "https://someone:word@drchrono.com/api/patients",
        "https://drchrono.com:8443/api/patients",
        "//evil.example/api/patients",
        "https://drchrono.com\\@evil.example/api/patients",
        "https://drchrono.com/o/token/",
        "https://drchrono.com/api/../o/token/",
        "/accounts/login?next=/api/patients",
        "javascript:alert(1)",
        "https://[",
    ],
)
def test_links_to_other_hosts_are_refused(link: str) -> None:
    with pytest.raises(ForeignHost):
        place(link)


def test_a_configured_origin_is_the_only_allowed_one() -> None:
    here = "http://127.0.0.1:8090"
    assert place("http://127.0.0.1:8090/api/x", here) == (here, "/api/x")
    for link in ("http://127.0.0.1:8091/api/x", "https://drchrono.com/api/x", "https://127.0.0.1:8090/api/x"):
        with pytest.raises(ForeignHost):
            place(link, here)


@given(st.text(max_size=80))
def test_no_text_leads_off_the_allowed_origins(link: str) -> None:
    try:
        origin, target = place(link)
    except ForeignHost:
        return
    assert origin in ("https://drchrono.com", "https://app.drchrono.com")
    assert target.startswith("/api/")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("way", ["redirect", "next", "description"])
def test_the_token_never_reaches_another_host(way: str, status: int) -> None:
    with Scripted(lambda target, headers: (200, {}, b'{"results": [], "next": null}')) as foreign:
        elsewhere = f"{foreign.url}/api/patients_list?uuid=u"

        def script(target: str, headers: object) -> tuple[int, dict[str, str], bytes]:
            if way == "redirect":
                return status, {"Location": elsewhere}, b""
            if way == "next":
                return 200, {}, f'{{"results": [], "next": "{elsewhere}"}}'.encode()
            if "uuid=" in target:
                return 200, {}, b'{"status": "Complete", "uuid": "u", "results": [], "pagination": {"pages": 1}}'
            return 201, {}, f'{{"status": "In progress", "uuid": "u", "description": "Call {elsewhere}"}}'.encode()

        with Scripted(script) as server:
            client = client_of(server.url, list_protocol={"lists": "live"})
            try:
                pages = list(client.list_changed(PATIENTS, since=None))
                assert way == "description"
                assert len(pages) == 1
            except DrChronoError:
                assert way != "description"
            if way == "redirect":
                for ask in (
                    lambda: client.current_user(),
                    lambda: client.create(PATIENTS, {}),
                    lambda: client.update(PATIENTS, "1", {}),
                ):
                    with pytest.raises(DrChronoError):
                        ask()
        assert foreign.seen == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_on_the_same_host_keeps_method_body_and_token(status: int) -> None:
    def script(target: str, headers: object) -> tuple[int, dict[str, str], bytes]:
        return (201, {}, b'{"id": 7}') if "moved" in target else (status, {"Location": "/api/moved"}, b"")

    with Scripted(script) as server:
        assert client_of(server.url).create(PATIENTS, {"first_name": "Ada"}) == {"id": 7}
        assert server.seen == [("POST /api/patients", "Bearer a-token"), ("POST /api/moved", "Bearer a-token")]


def test_a_write_that_is_answered_with_see_other_may_have_happened() -> None:
    with (
        Scripted(lambda target, headers: (303, {"Location": "/api/moved"}, b"")) as server,
        pytest.raises(OutcomeUnknown),
    ):
        client_of(server.url).create(PATIENTS, {})


def test_the_number_of_redirects_is_limited() -> None:
    with Scripted(lambda target, headers: (302, {"Location": "/api/round"}, b"")) as server:
        with pytest.raises(MalformedAnswer, match="redirected"):
            client_of(server.url).current_user()
        assert len(server.seen) == 2 * 4  # three redirects, and the one repetition of a read
