"""The front door. The digests were computed with `openssl dgst -sha256 -hmac`."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from io import BytesIO
from pathlib import Path
from typing import Any

import flask
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from functions.receive_webhook import handle, misconfigured
from functions.request_body import MOST_BODY_BYTES, read_body
from local.emulators import Emulators, free_port, wait_for_port
from shared.errors import PublishFailed, SettingsError, SyncError, WebhookRejected
from shared.settings import WebhookSettings, webhook_settings
from shared.webhooks.events import Change, decode

ROOT = Path(__file__).parent.parent.parent
NOON = datetime(2026, 3, 24, 12, 0, tzinfo=timezone.utc)
SECRET = "whsec_3f9a"
CANARY = "Zebulon Quackenbush"

GUIDE = b'{"event":"PATIENT_MODIFY","object_id":12345,"webhook_id":"abc123"}'
GUIDE_HMAC = "9fc044449f732a87442721b360017cb92a0eb2239f0887cdf5a83cf3721a207a"
LIVE = json.dumps(
    {
        "practice_group_id": 4321,
        "receiver": {"id": 7, "owning_doctor_id": 2},
        "object": {"id": 87654321, "first_name": CANARY, "updated_at": "2026-03-24T11:02:33"},
    }
).encode()
BY_TOKEN = {"X-drchrono-signature": SECRET}
AS_PATIENT = {**BY_TOKEN, "X-drchrono-event": "PATIENT_MODIFY"}


@dataclass
class Door:
    """The function behind Flask's own client, and what it did to the outside."""

    settings: WebhookSettings = field(
        default_factory=lambda: WebhookSettings(secrets=(SECRET,), signature="either", handshake=True)
    )
    publish_error: SyncError | None = None
    published: list[tuple[Change, Mapping[str, str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        app = flask.Flask("door")
        methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
        app.add_url_rule("/", view_func=self.answer, methods=methods, provide_automatic_options=False)
        self.client = app.test_client()

    def publish(self, data: bytes, attributes: Mapping[str, str]) -> None:
        if self.publish_error is not None:
            raise self.publish_error
        self.published.append((decode(data), attributes))

    def answer(self) -> flask.Response:
        return handle(flask.request, settings=self.settings, publish=self.publish, now=lambda: NOON)

    def post(self, body: bytes, headers: Mapping[str, str] = BY_TOKEN) -> TestResponse:
        return self.client.post("/", data=body, headers=dict(headers))


@pytest.fixture
def door() -> Door:
    return Door()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    out, err = capsys.readouterr()
    assert err == ""
    return [json.loads(line) for line in out.splitlines()]


def test_a_delivery_of_the_guides_form_is_published_and_answered_204(
    door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = door.post(GUIDE, {"X-drchrono-signature": GUIDE_HMAC})
    assert (answer.status_code, answer.data) == (204, b"")
    delivery = "1c60421be7fb8260e392eebf1a17cc14c1d77d77736b56a3d129e8639da9b2ba"
    change = Change("PATIENT_MODIFY", "patients", "12345", delivery, NOON)
    assert door.published == [(change, {"event": "PATIENT_MODIFY", "kind": "patients"})]
    assert lines(capsys) == [
        {
            "severity": "INFO",
            "message": "webhook.accepted",
            "event": "PATIENT_MODIFY",
            "kind": "patients",
            "id": "12345",
            "delivery": delivery,
            "ms": 0.0,
        }
    ]


def test_a_delivery_of_the_live_form_is_published_without_its_record(
    door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = door.post(LIVE, {**AS_PATIENT, "X-drchrono-delivery": "0b6a1f6e-3f7e"})
    assert answer.status_code == 204
    change = Change("PATIENT_MODIFY", "patients", "87654321", "0b6a1f6e-3f7e", NOON, "2026-03-24T11:02:33")
    assert door.published == [(change, {"event": "PATIENT_MODIFY", "kind": "patients"})]
    assert CANARY not in json.dumps(lines(capsys))


def test_the_same_registration_id_twice_is_two_deliveries(door: Door) -> None:
    for _ in range(2):
        assert door.post(GUIDE).status_code == 204
    assert len(door.published) == 2


def test_a_well_formed_trace_goes_on_and_another_does_not(door: Door) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    for header in (trace, trace + "-x", trace.upper(), "Jane"):
        door.post(GUIDE, {**BY_TOKEN, "traceparent": header})
    assert [attributes.get("traceparent") for _, attributes in door.published] == [trace, None, None, None]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-drchrono-signature": ""},
        {"X-drchrono-signature": "whsec_3f9"},
        {"X-drchrono-signature": "é"},
        {"X-drchrono-signature": "\u00ff" * 64},
        {"X-drchrono-signature": "x" * 10_000},
        {"X-drchrono-signature": GUIDE_HMAC[::-1]},
        {"Authorization": "whsec_3f9a"},
    ],
)
def test_a_forged_signature_is_401_and_nothing_happens(
    door: Door, capsys: pytest.CaptureFixture[str], headers: dict[str, str]
) -> None:
    answer = door.post(GUIDE, headers)
    assert (answer.status_code, answer.get_json()) == (401, {"reason": "bad_signature"})
    assert door.published == []
    assert lines(capsys) == [
        {"severity": "WARNING", "message": "webhook.rejected", "reason": "bad_signature", "status": 401}
    ]


def test_a_signature_for_one_form_is_refused_where_the_other_is_set(door: Door) -> None:
    door.settings = replace(door.settings, signature="hmac")
    assert door.post(GUIDE).status_code == 401
    assert door.post(GUIDE, {"X-drchrono-signature": GUIDE_HMAC}).status_code == 204
    door.settings = replace(door.settings, signature="token")
    assert door.post(GUIDE, {"X-drchrono-signature": GUIDE_HMAC}).status_code == 401
    assert door.post(GUIDE).status_code == 204


@pytest.mark.parametrize(
    ("body", "headers", "reason"),
    [
        (b"", AS_PATIENT, "body_not_an_object"),
        (b"\xff\xfe", AS_PATIENT, "body_not_an_object"),
        (b"[]", AS_PATIENT, "body_not_an_object"),
        (b"null", AS_PATIENT, "body_not_an_object"),
        (b"[" * 500_000, AS_PATIENT, "body_not_an_object"),
        (b'{"object_id":' + b"9" * 100_000 + b"}", AS_PATIENT, "body_not_an_object"),
        (b'{"object_id":[]}', AS_PATIENT, "id_missing"),
        (b'{"object":{"id":{}}}', AS_PATIENT, "id_missing"),
        (b"{}", BY_TOKEN, "event_missing"),
    ],
)
def test_an_authentic_delivery_that_is_of_no_use_is_400(
    door: Door, body: bytes, headers: dict[str, str], reason: str
) -> None:
    answer = door.post(body, headers)
    assert (answer.status_code, answer.get_json()) == (400, {"reason": reason})
    assert door.published == []


@pytest.mark.parametrize(
    ("event", "named"),
    [
        ("PING", "PING"),
        ("LAB_ORDER_CREATE", "LAB_ORDER_CREATE"),
        ("CARE_TEAM_CREATE", "CARE_TEAM_CREATE"),
        (CANARY, "unknown"),
    ],
)
def test_what_is_not_kept_is_acknowledged_and_counted_by_name(
    door: Door, capsys: pytest.CaptureFixture[str], event: str, named: str
) -> None:
    assert door.post(LIVE, {**BY_TOKEN, "X-drchrono-event": event}).status_code == 204
    assert door.published == []
    assert lines(capsys) == [{"severity": "INFO", "message": "webhook.ignored", "event": named}]


def test_a_header_that_contradicts_the_body_is_counted(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    assert door.post(GUIDE, {**BY_TOKEN, "X-drchrono-event": "APPOINTMENT_DELETE"}).status_code == 204
    assert door.published[0][0].event == "PATIENT_MODIFY"
    assert lines(capsys)[0] == {
        "severity": "WARNING",
        "message": "webhook.event_differs",
        "event": "PATIENT_MODIFY",
    }


@pytest.mark.parametrize("content_type", ["", "text/plain", "multipart/form-data", "application/x-www-form-urlencoded"])
def test_the_content_type_is_not_trusted(door: Door, content_type: str) -> None:
    assert door.post(GUIDE, {"X-drchrono-signature": GUIDE_HMAC, "Content-Type": content_type}).status_code == 204


def test_a_body_of_exactly_one_mebibyte_is_taken_and_a_byte_more_is_413(door: Door) -> None:
    body = GUIDE.ljust(MOST_BODY_BYTES)
    assert door.post(body).status_code == 204
    answer = door.post(body + b" ")
    assert (answer.status_code, answer.get_json()) == (413, {"reason": "body_too_large"})


class Endless:
    """A body without an end, and how much of it was read."""

    def __init__(self) -> None:
        self.read_bytes = 0

    def read(self, size: int) -> bytes:
        self.read_bytes += size
        return b"x" * size


def test_a_body_without_an_end_is_413_and_read_no_further_than_32_mebibytes(door: Door) -> None:
    endless = Endless()
    environ = {"wsgi.input": endless, "wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    assert door.client.post("/", headers=BY_TOKEN, environ_overrides=environ).status_code == 413
    assert endless.read_bytes <= 33 * 2**20


class Broken(BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise ValueError(CANARY)


def test_a_body_that_cannot_be_read_is_400(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    environ = {"wsgi.input": Broken(), "wsgi.input_terminated": True}
    answer = door.client.post("/", headers=BY_TOKEN, environ_overrides=environ)
    assert (answer.status_code, answer.get_json()) == (400, {"reason": "body_unreadable"})
    assert CANARY not in json.dumps(lines(capsys))


def test_what_pubsub_refuses_is_503_so_that_it_comes_again(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    door.publish_error = PublishFailed("Pub/Sub: DeadlineExceeded")
    answer = door.post(GUIDE)
    assert (answer.status_code, answer.get_json()) == (503, {"reason": "not_durable"})
    lost, rejected = lines(capsys)
    assert (lost["severity"], lost["message"], lost["id"]) == ("ERROR", "webhook.not_durable", "12345")
    assert lost["error"] == "Pub/Sub: DeadlineExceeded"
    assert (rejected["message"], rejected["status"]) == ("webhook.rejected", 503)
    door.publish_error = None
    assert door.post(GUIDE).status_code == 204
    assert len(door.published) == 1


def test_a_body_that_comes_too_slowly_is_408_and_holds_the_thread_no_longer(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender's end stays open and silent: only the deadline ends the reading."""
    sender, receiver = socket.socketpair()
    with sender, receiver, receiver.makefile("rb") as body:
        environ = {"wsgi.input": body, "wsgi.input_terminated": True, "gunicorn.socket": receiver}
        sender.sendall(b'{"event":')
        with (
            flask.Flask("door").test_request_context("/", method="POST", environ_overrides=environ),
            pytest.raises(WebhookRejected) as refused,
        ):
            read_body(flask.request, seconds=0.05)
    assert (refused.value.reason, refused.value.status) == ("body_too_slow", 408)


@pytest.mark.parametrize("secrets", [(), ("",), (SECRET, "")])
@pytest.mark.parametrize("method", ["POST", "GET", "HEAD", "PUT"])
def test_without_a_secret_everything_is_refused_and_the_setting_named(
    door: Door, capsys: pytest.CaptureFixture[str], secrets: tuple[str, ...], method: str
) -> None:
    door.settings = replace(door.settings, secrets=secrets)
    answer = door.client.open("/?msg=abc", method=method, data=GUIDE, headers=BY_TOKEN)
    assert answer.status_code == 500
    if method != "HEAD":
        assert answer.get_json() == {"reason": "misconfigured", "setting": "DRCHRONO_WEBHOOK_SECRET"}
    (line,) = lines(capsys)
    assert (line["severity"], line["setting"]) == ("ERROR", "DRCHRONO_WEBHOOK_SECRET")


@pytest.mark.parametrize(
    ("environ", "setting"),
    [
        ({}, "DRCHRONO_WEBHOOK_SECRET"),
        ({"DRCHRONO_WEBHOOK_SECRET": " , "}, "DRCHRONO_WEBHOOK_SECRET"),
        ({"DRCHRONO_WEBHOOK_SECRET": "s3cr3t", "DRCHRONO_WEBHOOK_SIGNATURE": "none"}, "DRCHRONO_WEBHOOK_SIGNATURE"),
    ],
)
def test_a_wrong_environment_is_answered_with_the_name_of_the_setting_and_not_its_value(
    capsys: pytest.CaptureFixture[str], environ: dict[str, str], setting: str
) -> None:
    with pytest.raises(SettingsError) as wrong:
        webhook_settings(environ)
    answer = misconfigured(wrong.value)
    assert (answer.status_code, answer.get_json()) == (500, {"reason": "misconfigured", "setting": setting})
    (line,) = lines(capsys)
    assert line["setting"] == setting
    assert "s3cr3t" not in json.dumps(line)


def test_the_handshake_is_answered_with_secret_token_and_nothing_else(
    door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = door.client.get("/?msg=d4f2c7a0-0b1e-4f3a-9c58-2a6b7e8f9012")
    assert answer.status_code == 200
    assert answer.get_json() == {"secret_token": "3f6fde6b06b575f6cab5018af0ffd6579e59cf0c4e17cdfec72641098fc7cb09"}
    assert lines(capsys) == [{"severity": "INFO", "message": "webhook.handshake"}]


def test_while_rotating_the_handshake_uses_the_first_secret(door: Door) -> None:
    door.settings = replace(door.settings, secrets=(SECRET, "whsec_old"))
    answer = door.client.get("/?msg=d4f2c7a0-0b1e-4f3a-9c58-2a6b7e8f9012")
    assert answer.get_json() == {"secret_token": "3f6fde6b06b575f6cab5018af0ffd6579e59cf0c4e17cdfec72641098fc7cb09"}


def test_the_handshake_cannot_be_made_to_sign_a_delivery(door: Door, capsys: pytest.CaptureFixture[str]) -> None:
    forged = '{"event":"PATIENT_MODIFY","object_id":666}'
    answer = door.client.get("/", query_string={"msg": forged})
    assert (answer.status_code, answer.get_json()) == (400, {"reason": "msg_refused"})
    # What it would have answered would have been taken:
    digest = "ddbee8d4969e77cfec3105207f51e1affd968e31348d65298236911ec76fab4a"
    assert digest not in answer.text
    assert digest not in json.dumps(lines(capsys))
    assert door.post(forged.encode(), {"X-drchrono-signature": digest}).status_code == 204


def test_what_the_handshake_does_sign_announces_nothing(door: Door) -> None:
    for nonce in ("7", "null", "true", "abc", "0f" * 32):
        signature = door.client.get("/", query_string={"msg": nonce}).get_json()["secret_token"]
        headers = {"X-drchrono-signature": signature, "X-drchrono-event": "PATIENT_MODIFY"}
        assert door.post(nonce.encode(), headers).status_code == 400
    assert door.published == []


def test_the_handshake_can_be_switched_off(door: Door) -> None:
    door.settings = replace(door.settings, handshake=False)
    answer = door.client.get("/?msg=abc")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "HEAD, POST")


@pytest.mark.parametrize("query", ["", "?msg=", "?message=abc", "?msg=%ff", "?msg=a%0d%0ab", "?msg=" + "a" * 5000])
def test_any_other_get_is_400(door: Door, query: str) -> None:
    answer = door.client.get("/" + query)
    assert (answer.status_code, answer.get_json()) == (400, {"reason": "msg_refused"})


def test_head_is_answered(door: Door) -> None:
    answer = door.client.head("/")
    assert (answer.status_code, answer.data) == (200, b"")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_other_methods_are_405_and_told_what_is_allowed(door: Door, method: str) -> None:
    answer = door.client.open("/", method=method, data=GUIDE, headers=BY_TOKEN)
    assert (answer.status_code, answer.get_json()) == (405, {"reason": "method_not_allowed"})
    assert answer.headers["Allow"] == "GET, HEAD, POST"
    assert door.published == []


@given(
    body=st.binary(max_size=300),
    signature=st.sampled_from([SECRET, ""]) | st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"])),
    event=st.sampled_from(["", "PING", "PATIENT_MODIFY", "APPOINTMENT_DELETE"]),
)
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_at_all_end_in_a_defined_answer(door: Door, body: bytes, signature: str, event: str) -> None:
    answer = door.post(body, {"X-drchrono-signature": signature, "X-drchrono-event": event})
    assert answer.status_code in (204, 400, 401)
    assert answer.status_code == 204 or set(answer.get_json()) == {"reason"}
    assert answer.status_code != 204 or signature == SECRET


def test_deliveries_at_the_same_time_do_not_meet(door: Door) -> None:
    def post(number: int) -> int:
        return door.post(b'{"event":"PATIENT_CREATE","object_id":%d}' % number).status_code

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(post, range(200))) == {204}
    assert sorted(int(change.id) for change, _ in door.published) == list(range(200))


# Served as the platform serves it.


@dataclass
class Served:
    port: int
    log: Path

    def exchange(self, method: str, body: Any = None, headers: Mapping[str, str] = BY_TOKEN) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, "/", body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def raw(self, request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))


@contextmanager
def served(log: Path, environ: Mapping[str, str]) -> Iterator[Served]:
    port = free_port()
    command = [sys.executable, "-m", "functions_framework", "--target", "receive_webhook", "--host", "127.0.0.1"]
    inherited = {name: value for name, value in os.environ.items() if not name.endswith("_EMULATOR_HOST")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--port", str(port)], cwd=ROOT, env={**inherited, **environ}, stdout=output, stderr=output
        )
        try:
            wait_for_port(port, process, "the function")
            yield Served(port, log)
        finally:
            process.terminate()
            process.wait()


def test_served_by_the_framework_every_request_is_answered(tmp_path: Path) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    environ = {
        "GCP_PROJECT": "test-project",
        "DRCHRONO_WEBHOOK_SECRET": SECRET,
        "PUBSUB_EMULATOR_HOST": nowhere,
    }
    head = b"POST / HTTP/1.1\r\nHost: x\r\nX-drchrono-signature: whsec_3f9a\r\nX-drchrono-event: PATIENT_MODIFY\r\n"
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n"
    with served(tmp_path / "log", environ) as function:
        assert function.exchange("HEAD") == (200, b"")
        assert function.exchange("POST", b"x" * (MOST_BODY_BYTES + 1))[0] == 413
        assert function.exchange("POST", b"x" * 6_000_000)[0] == 413
        assert function.exchange("POST", iter([b"x" * 1_000_000] * 3))[0] == 413
        assert function.exchange("PUT", b"x" * 100_000)[0] == 405
        for broken in (b"ZZ\r\nabc\r\n", b"5\r\nab", b"-1\r\n", b"5;\x00\r\nabcde\r\n"):
            assert function.raw(chunked + broken).startswith(b"HTTP/1.1 400 ")
        assert function.raw(head + b"Content-Length: 50\r\n\r\n{}").startswith(b"HTTP/1.1 400 ")
        assert function.raw(head + b"\r\n").startswith(b"HTTP/1.1 400 ")
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert log.count("body_unreadable") == 4


def test_served_with_a_wrong_environment_every_request_is_500_and_names_the_setting(tmp_path: Path) -> None:
    with served(tmp_path / "log", {"GCP_PROJECT": "test-project"}) as function:
        for method in ("GET", "POST", "POST"):
            status, body = function.exchange(method, GUIDE if method == "POST" else None)
            assert status == 500
            assert json.loads(body) == {"reason": "misconfigured", "setting": "DRCHRONO_WEBHOOK_SECRET"}


@pytest.mark.emulator
def test_served_by_the_framework_every_accepted_event_is_in_pubsub(
    emulators: Emulators, project: str, tmp_path: Path
) -> None:
    from google.pubsub_v1 import PublisherClient, SubscriberClient

    topic, subscription = f"projects/{project}/topics/drchrono-events", f"projects/{project}/subscriptions/events"
    PublisherClient().create_topic(name=topic)
    subscriber = SubscriberClient()
    subscriber.create_subscription(name=subscription, topic=topic)
    environ = {**emulators.environment, "GCP_PROJECT": project, "DRCHRONO_WEBHOOK_SECRET": SECRET, "THREADS": "16"}
    answers = []
    with served(tmp_path / "log", environ) as function:
        start = threading.Barrier(16)  # the first requests build the client together

        def post(number: int) -> None:
            if number < 16:
                start.wait()
            body = b'{"event":"PATIENT_CREATE","object_id":%d,"webhook_id":"abc123"}' % number
            answers.append(function.exchange("POST", body)[0])

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(post, range(100)))
    assert answers == [204] * 100
    received: list[int] = []
    while len(received) < 100:
        pulled = subscriber.pull(subscription=subscription, max_messages=100, timeout=10).received_messages
        subscriber.acknowledge(subscription=subscription, ack_ids=[one.ack_id for one in pulled])
        received += [int(decode(one.message.data).id) for one in pulled]
    assert sorted(received) == list(range(100))


def test_served_by_the_framework_senders_that_stop_in_the_body_hold_no_thread_for_long(tmp_path: Path) -> None:
    environ = {
        "GCP_PROJECT": "test-project",
        "DRCHRONO_WEBHOOK_SECRET": SECRET,
        "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{free_port()}",
        "THREADS": "4",
    }
    head = b"POST / HTTP/1.1\r\nHost: x\r\nX-drchrono-signature: whsec_3f9a\r\nContent-Length: 50\r\n\r\n{"
    with served(tmp_path / "log", environ) as function, ExitStack() as open_:
        senders = [
            open_.enter_context(socket.create_connection(("127.0.0.1", function.port), timeout=30)) for _ in range(8)
        ]
        for sender in senders:
            sender.sendall(head)
        # Twice as many as there are threads: the second half waits for the first to be refused.
        for sender in senders:
            assert sender.recv(65536).startswith(b"HTTP/1.1 408 ")
        assert function.exchange("HEAD") == (200, b"")


@pytest.mark.emulator
def test_with_pubsub_away_the_event_is_answered_503_and_nothing_is_written(
    emulators: Emulators, project: str, tmp_path: Path
) -> None:
    from google.cloud import firestore

    nowhere = f"127.0.0.1:{free_port()}"
    environ = {
        **emulators.environment,
        "PUBSUB_EMULATOR_HOST": nowhere,
        "GCP_PROJECT": project,
        "DRCHRONO_WEBHOOK_SECRET": SECRET,
    }
    with served(tmp_path / "log", environ) as function:
        assert function.exchange("POST", GUIDE)[0] == 503
        assert list(firestore.Client(project=project).collections()) == []
