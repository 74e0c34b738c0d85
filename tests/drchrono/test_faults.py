"""Faults of connection and service: one error each, one repetition where it is allowed, and no record content."""

from __future__ import annotations

import gzip
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import pytest

from shared.drchrono import wire
from shared.drchrono.client import TimeLimits
from shared.drchrono.kinds import KINDS
from shared.errors import (
    BadRequest,
    DrChronoError,
    Forbidden,
    MalformedAnswer,
    OutcomeUnknown,
    ServerError,
    Throttled,
    Unauthorized,
    Unreachable,
)
from tests.drchrono.conftest import Harness, Scripted, TestTokens, client_of, harness_of

PATIENTS = KINDS["patients"]

PASSING = {
    "500": ServerError,
    "502": ServerError,
    "503": ServerError,
    "reset": Unreachable,
    "timeout": Unreachable,
    "slow": Unreachable,
    "truncate": MalformedAnswer,
    "html": MalformedAnswer,
    "garbage": MalformedAnswer,
}
FINAL = {"401": Unauthorized, "403": Forbidden, "429": Throttled}


@pytest.mark.parametrize("fault", PASSING)
def test_a_temporary_fault_costs_a_read_one_short_pause(harness: Harness, fault: str) -> None:
    patient = next(iter(harness.simulator.truth("patients")))
    harness.fault(fault=fault, times=1, seconds=0.6)
    assert harness.client.get(PATIENTS, patient).record["id"] == int(patient)
    assert harness.slept == [2.0]
    assert len(harness.limiter.taken) == 2


@pytest.mark.parametrize(("fault", "kind"), PASSING.items())
def test_a_lasting_fault_is_raised_after_two_requests(harness: Harness, fault: str, kind: type[DrChronoError]) -> None:
    patient = next(iter(harness.simulator.truth("patients")))
    harness.fault(fault=fault, **({"seconds": 0.6} if fault in ("slow", "timeout") else {}))
    with pytest.raises(kind, match=f"GET /api/patients/{patient}"):
        harness.client.get(PATIENTS, patient)
    assert len(harness.limiter.taken) == 2


@pytest.mark.parametrize(("fault", "kind"), FINAL.items())
def test_a_refusal_is_not_repeated(harness: Harness, fault: str, kind: type[DrChronoError]) -> None:
    harness.fault(fault=fault)
    with pytest.raises(kind):
        harness.client.get(PATIENTS, "1")
    assert len(harness.limiter.taken) == (2 if fault == "401" else 1)
    assert harness.slept == []


@pytest.mark.parametrize("fault", ["500", "502", "503", "reset", "timeout", "slow", "truncate", "drop_after_write"])
def test_a_write_without_an_answer_is_sent_once_and_its_outcome_unknown(fault: str) -> None:
    with harness_of() as harness:
        doctor = harness.simulator.clinic.doctors[0]["id"]
        harness.fault(fault=fault, **({"seconds": 0.6} if fault in ("slow", "timeout") else {}))
        with pytest.raises(OutcomeUnknown, match="look in DrChrono before"):
            harness.client.create(PATIENTS, {"gender": "", "doctor": doctor})
        assert len(harness.limiter.taken) == 1
        assert harness.slept == []


def test_an_update_whose_answer_is_lost_has_an_unknown_outcome_too() -> None:
    with harness_of() as harness:
        patient = next(iter(harness.simulator.truth("patients")))
        harness.fault(fault="drop_after_write")
        with pytest.raises(OutcomeUnknown):
            harness.client.update(PATIENTS, patient, {"first_name": "Grace"})
        assert harness.simulator.truth("patients")[patient]["first_name"] == "Grace"


def test_a_write_that_was_certainly_not_sent_is_repeated() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    pauses: list[float] = []
    client = client_of(f"http://127.0.0.1:{port}", sleep=pauses.append)
    with pytest.raises(Unreachable):
        client.create(PATIENTS, {})
    assert len(pauses) == 1


@contextmanager
def raw_server(send: Callable[[socket.socket], None]) -> Iterator[str]:
    """Answers every connection with the bytes that `send` writes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(65536)
                    try:
                        send(connection)
                    except OSError:
                        continue

        Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def test_a_connection_that_was_closed_while_idle_does_not_make_a_write_uncertain() -> None:
    closed = Event()

    def once(connection: socket.socket) -> None:
        connection.sendall(b'HTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\n{"id": 1}')
        connection.close()
        closed.set()

    with raw_server(once) as url:
        client = client_of(url)
        for _ in range(3):
            assert client.create(PATIENTS, {}) == {"id": 1}
            assert closed.wait(5)
            closed.clear()


def test_a_trickling_answer_is_abandoned_in_bounded_time() -> None:
    def trickle(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            connection.sendall(b" ")
            time.sleep(0.02)

    with raw_server(trickle) as url:
        client = client_of(url, time_limits=TimeLimits(connect_seconds=1, silence_seconds=1, answer_seconds=0.2))
        began = time.monotonic()
        with pytest.raises(MalformedAnswer, match="it took longer than"):
            client.get(PATIENTS, "1")
        assert time.monotonic() - began < 10


def test_a_chunked_answer_that_breaks_off_is_malformed_even_if_what_came_would_parse() -> None:
    def half(connection: socket.socket) -> None:
        connection.sendall(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"id": 1}\r\n')

    with raw_server(half) as url, pytest.raises(MalformedAnswer, match="it broke off"):
        client_of(url).get(PATIENTS, "1")


def test_a_body_over_the_limit_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MOST_BYTES", 3 * 1024**2)
    bomb = gzip.compress(b" " * 200 * 1024**2, 1)
    with (
        Scripted(lambda target, headers: (200, {"Content-Encoding": "gzip"}, bomb)) as server,
        pytest.raises(MalformedAnswer, match="longer than 3 MiB"),
    ):
        client_of(server.url).get(PATIENTS, "1")


@pytest.mark.parametrize("body", [b"", b"[1]", b"null", b'"text"', b"[" * 100_000, b"9" * 5000, b"\xff\xfe\x00"])
def test_a_200_that_is_no_json_object_is_malformed(body: bytes) -> None:
    with (
        Scripted(lambda target, headers: (200, {}, body)) as server,
        pytest.raises(MalformedAnswer, match="answered 200: it is not a JSON object"),
    ):
        client_of(server.url).get(PATIENTS, "1")


def test_other_statuses_are_refusals() -> None:
    with (
        Scripted(lambda target, headers: (418, {}, b'["no"]')) as server,
        pytest.raises(BadRequest, match="answered 418"),
    ):
        client_of(server.url).get(PATIENTS, "1")


CANARY = "planted-Zebulon"


def planted(target: str) -> tuple[int, dict[str, str], bytes]:
    """Answers with different statuses that repeat the request and contain a record."""
    status = int(target.split("/")[3].split("?")[0])
    record = f'{{"detail": "{CANARY}", "{CANARY}": ["{CANARY}"], "first_name": "{CANARY}"'
    return status, {"Location": f"http://{CANARY.lower()}.example/api/?q={CANARY}"}, record.encode()


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 405, 409, 418, 429, 500, 502, 599])
def test_errors_and_log_lines_contain_no_answer_query_body_or_token(
    status: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.log._least", ["DEBUG"])

    def everything(error: BaseException) -> str:
        shown = "".join(traceback.format_exception(error))
        return shown + str(error) + repr(error) + str(vars(error))

    said = ""
    with Scripted(lambda target, headers: planted(target)) as server:
        client = client_of(server.url, tokens=TestTokens(f"{CANARY}-token"))
        asked: list[Callable[[], Any]] = [
            lambda: client.get(PATIENTS, str(status)),
            lambda: client.update(PATIENTS, str(status), {"first_name": CANARY}),
            lambda: client._sender.send(client_call(status)),
        ]
        for ask in asked:
            try:
                ask()
            except DrChronoError as error:
                said += everything(error)
    captured = capsys.readouterr()
    said += captured.out + captured.err
    assert "api.request" in said
    assert "zebulon" not in said.lower()


def client_call(status: int) -> Any:
    from shared.drchrono.calls import Call

    return Call(method="GET", path=f"/api/x/{status}", scope="user:read", kind="users", query=f"first_name={CANARY}")


def test_an_unreachable_host_is_not_quoted_with_its_query(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    client = client_of(f"http://127.0.0.1:{port}")
    with pytest.raises(Unreachable) as error:
        client._sender.send(client_call(1))
    said = "".join(traceback.format_exception(error.value)) + capsys.readouterr().out
    assert CANARY not in said
    assert "unreachable" in said
