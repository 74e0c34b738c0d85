"""The token endpoint over real HTTP: the meaning of each answer and of each missing answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.tokens.endpoint import TokenEndpoint, read_answer
from shared.tokens.token import Granted, Refused, Unavailable, Unknown
from simulator import Config, Simulator

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
CALLBACK = "http://127.0.0.1:8765/callback"


@pytest.fixture(scope="module")
def sim() -> Iterator[Simulator]:
    with Simulator(Config(patients=0, form="live")) as running:
        yield running


@pytest.fixture
def endpoint(sim: Simulator) -> Iterator[TokenEndpoint]:
    yield endpoint_at(sim.url)
    sim.faults.set([], replace=True)


def endpoint_at(url: str) -> TokenEndpoint:
    return TokenEndpoint(url=url, client_id="simulator-client", client_secret="simulator-secret", now=lambda: NOON)


def test_a_refresh_gives_a_new_pair_with_its_lifetime(sim: Simulator, endpoint: TokenEndpoint) -> None:
    issued = sim.issue_token("patients:read")
    granted = endpoint.refresh(issued["refresh_token"])
    assert isinstance(granted, Granted)
    assert granted.expires_in == 172_800
    assert granted.scope == "patients:read"
    assert granted.access_token != issued["access_token"]
    assert granted.refresh_token != issued["refresh_token"]


def test_a_spent_refresh_token_is_refused_finally(sim: Simulator, endpoint: TokenEndpoint) -> None:
    issued = sim.issue_token()
    endpoint.refresh(issued["refresh_token"])
    refused = endpoint.refresh(issued["refresh_token"])
    assert refused == Refused("invalid_grant")
    assert refused.final


def test_a_code_is_exchanged_once_and_with_its_own_redirect_uri(sim: Simulator, endpoint: TokenEndpoint) -> None:
    assert endpoint.exchange(sim.tokens.new_code(CALLBACK, "user:read"), CALLBACK + "/") == Refused("invalid_grant")
    code = sim.tokens.new_code(CALLBACK, "user:read")
    granted = endpoint.exchange(code, CALLBACK)
    assert isinstance(granted, Granted)
    assert granted.scope == "user:read"
    assert endpoint.exchange(code, CALLBACK) == Refused("invalid_grant")


def test_a_wrong_client_secret_is_refused_without_invalidating_the_token(sim: Simulator) -> None:
    issued = sim.issue_token()
    wrong = TokenEndpoint(url=sim.url, client_id="simulator-client", client_secret="wrong", now=lambda: NOON)
    refused = wrong.refresh(issued["refresh_token"])
    assert refused == Refused("invalid_client")
    assert not refused.final
    assert isinstance(endpoint_at(sim.url).refresh(issued["refresh_token"]), Granted)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"fault": "500"}, Unavailable("status_500", unspent=False)),
        ({"fault": "503"}, Unavailable("status_503", unspent=False)),
        ({"fault": "429"}, Unavailable("throttled", unspent=True, until=NOON + timedelta(seconds=61))),
        (
            {"fault": "429", "retry_after": 2710},
            Unavailable("throttled", unspent=True, until=NOON + timedelta(seconds=2711)),
        ),
        ({"fault": "reset"}, Unknown("no_answer")),
        ({"fault": "drop_after_write"}, Unknown("no_answer")),
        ({"fault": "truncate"}, Unknown("no_answer")),
        ({"fault": "html"}, Unknown("unreadable_answer")),
        ({"fault": "garbage"}, Unknown("unreadable_answer")),
        ({"fault": "403"}, Refused("status_403")),
    ],
    ids=lambda value: value["fault"] if isinstance(value, dict) else "",
)
def test_each_failure_tells_whether_the_token_was_spent(
    sim: Simulator, endpoint: TokenEndpoint, fault: dict[str, Any], expected: object
) -> None:
    sim.faults.set([{"match": {"path": "/o/token"}, **fault}], replace=True)
    assert endpoint.refresh(sim.issue_token()["refresh_token"]) == expected


def test_a_refused_connection_has_not_spent_the_token() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        assert endpoint_at(url).refresh("r") == Unavailable("unreachable", unspent=True)


def test_a_name_that_does_not_resolve_has_not_spent_the_token() -> None:
    assert endpoint_at("http://nowhere.invalid").refresh("r") == Unavailable("unreachable", unspent=True)


def test_a_redirect_is_not_followed_with_the_clients_secret() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        head = f"HTTP/1.1 302 Found\r\nLocation: {url}/elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(head.encode())

        thread = threading.Thread(target=serve)
        thread.start()
        assert endpoint_at(url).refresh("r") == Refused("status_302")
        thread.join()
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()


def test_the_request_is_the_guides_form_with_nothing_in_the_url() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        received = []

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                data = b""
                while b"client_secret" not in data:
                    data += connection.recv(65536)
                received.append(data.decode())
                connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{"access_token": "a"}')

        thread = threading.Thread(target=serve)
        thread.start()
        endpoint_at(url).refresh("the-refresh-token")
        thread.join()
    head, _, body = received[0].partition("\r\n\r\n")
    assert head.startswith("POST /o/token/ HTTP/1.1\r\n")
    assert "Content-Type: application/x-www-form-urlencoded" in head
    assert "authorization" not in head.lower()
    assert body == (
        "grant_type=refresh_token&refresh_token=the-refresh-token"
        "&client_id=simulator-client&client_secret=simulator-secret"
    )


@given(st.integers(min_value=100, max_value=599), st.binary(max_size=200))
def test_no_answer_raises_and_only_a_2xx_is_a_pair(status: int, content: bytes) -> None:
    answer = read_answer(status, {}, content, NOON)
    if not 200 <= status < 300:
        assert isinstance(answer, Refused | Unavailable)


def test_an_error_code_that_oauth_does_not_define_is_not_repeated() -> None:
    assert read_answer(401, {}, b'{"error": "r-token"}', NOON) == Refused("status_401")
    assert read_answer(400, {}, b'{"error": "invalid_grant"}', NOON) == Refused("invalid_grant")
