"""The receiver: what it accepts, refuses and publishes, called in this process."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from io import BytesIO
from typing import Any

import flask
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from functions import request_body
from functions.receive_webhook import misconfigured
from functions.request_body import MOST_BODY_BYTES, read_body
from shared.errors import PublishFailed, SettingsError, WebhookRejected
from shared.settings import webhook_settings
from shared.webhooks.events import Change
from tests.functions.deliveries import AS_PATIENT, BY_TOKEN, CANARY, GUIDE, GUIDE_HMAC, LIVE, NOON, SECRET, Receiver

# If nothing ends the reading, the test fails instead of waiting for ever.
SILENT_SECONDS = 60


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    out, err = capsys.readouterr()
    assert err == ""
    return [json.loads(line) for line in out.splitlines()]


def test_a_delivery_of_the_guides_form_is_published_and_answered_204(
    receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = receiver.post(GUIDE, {"X-drchrono-signature": GUIDE_HMAC})
    assert (answer.status_code, answer.data) == (204, b"")
    delivery = "1c60421be7fb8260e392eebf1a17cc14c1d77d77736b56a3d129e8639da9b2ba"
    change = Change("PATIENT_MODIFY", "patients", "12345", delivery, NOON)
    assert receiver.published == [(change, {"event": "PATIENT_MODIFY", "kind": "patients"})]
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


def test_an_event_is_as_old_as_its_request_and_the_time_that_it_took_is_logged(
    receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.now = iter([NOON, NOON + timedelta(milliseconds=1234.56)]).__next__
    assert receiver.post(GUIDE).status_code == 204
    assert receiver.published[0][0].received_at == NOON
    assert lines(capsys)[0]["ms"] == 1234.6


def test_a_delivery_of_the_live_form_is_published_without_its_record(
    receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = receiver.post(LIVE, {**AS_PATIENT, "X-drchrono-delivery": "0b6a1f6e-3f7e"})
    assert answer.status_code == 204
    change = Change("PATIENT_MODIFY", "patients", "87654321", "0b6a1f6e-3f7e", NOON, "2026-03-24T11:02:33")
    assert receiver.published == [(change, {"event": "PATIENT_MODIFY", "kind": "patients"})]
    assert CANARY not in json.dumps(lines(capsys))


def test_the_same_registration_id_twice_is_two_deliveries(receiver: Receiver) -> None:
    for _ in range(2):
        assert receiver.post(GUIDE).status_code == 204
    assert len(receiver.published) == 2


def test_only_a_well_formed_trace_is_passed_on(receiver: Receiver) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    for header in (trace, trace + "-x", trace.upper(), "Jane"):
        receiver.post(GUIDE, {**BY_TOKEN, "traceparent": header})
    assert [attributes.get("traceparent") for _, attributes in receiver.published] == [trace, None, None, None]


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
    receiver: Receiver, capsys: pytest.CaptureFixture[str], headers: dict[str, str]
) -> None:
    answer = receiver.post(GUIDE, headers)
    assert (answer.status_code, answer.get_json()) == (401, {"reason": "bad_signature"})
    assert receiver.published == []
    assert lines(capsys) == [
        {"severity": "WARNING", "message": "webhook.rejected", "reason": "bad_signature", "status": 401}
    ]


def test_a_signature_in_the_form_that_is_not_configured_is_refused(receiver: Receiver) -> None:
    receiver.settings = replace(receiver.settings, signature="hmac")
    assert receiver.post(GUIDE).status_code == 401
    assert receiver.post(GUIDE, {"X-drchrono-signature": GUIDE_HMAC}).status_code == 204
    receiver.settings = replace(receiver.settings, signature="token")
    assert receiver.post(GUIDE, {"X-drchrono-signature": GUIDE_HMAC}).status_code == 401
    assert receiver.post(GUIDE).status_code == 204


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
def test_an_authentic_but_unusable_delivery_is_400(
    receiver: Receiver, body: bytes, headers: dict[str, str], reason: str
) -> None:
    answer = receiver.post(body, headers)
    assert (answer.status_code, answer.get_json()) == (400, {"reason": reason})
    assert receiver.published == []


@pytest.mark.parametrize(
    ("event", "named"),
    [
        ("PING", "PING"),
        ("LAB_ORDER_CREATE", "LAB_ORDER_CREATE"),
        ("CARE_TEAM_CREATE", "CARE_TEAM_CREATE"),
        (CANARY, "unknown"),
    ],
)
def test_events_of_other_kinds_are_acknowledged_and_counted_by_name(
    receiver: Receiver, capsys: pytest.CaptureFixture[str], event: str, named: str
) -> None:
    assert receiver.post(LIVE, {**BY_TOKEN, "X-drchrono-event": event}).status_code == 204
    assert receiver.published == []
    assert lines(capsys) == [{"severity": "INFO", "message": "webhook.ignored", "event": named}]


def test_a_header_that_contradicts_the_body_is_counted(receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    assert receiver.post(GUIDE, {**BY_TOKEN, "X-drchrono-event": "APPOINTMENT_DELETE"}).status_code == 204
    assert receiver.published[0][0].event == "PATIENT_MODIFY"
    assert lines(capsys)[0] == {
        "severity": "WARNING",
        "message": "webhook.event_differs",
        "event": "PATIENT_MODIFY",
    }


@pytest.mark.parametrize("content_type", ["", "text/plain", "multipart/form-data", "application/x-www-form-urlencoded"])
def test_the_content_type_is_not_trusted(receiver: Receiver, content_type: str) -> None:
    assert receiver.post(GUIDE, {"X-drchrono-signature": GUIDE_HMAC, "Content-Type": content_type}).status_code == 204


def test_a_body_of_exactly_one_mebibyte_is_taken_and_a_byte_more_is_413(receiver: Receiver) -> None:
    body = GUIDE.ljust(MOST_BODY_BYTES)
    assert receiver.post(body).status_code == 204
    answer = receiver.post(body + b" ")
    assert (answer.status_code, answer.get_json()) == (413, {"reason": "body_too_large"})


class Endless:
    """A body without an end, and how much of it was read."""

    def __init__(self) -> None:
        self.read_bytes = 0

    def read(self, size: int) -> bytes:
        self.read_bytes += size
        return b"x" * size


def test_a_body_without_an_end_is_413_and_read_no_further_than_32_mebibytes(receiver: Receiver) -> None:
    endless = Endless()
    environ = {"wsgi.input": endless, "wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
    assert receiver.client.post("/", headers=BY_TOKEN, environ_overrides=environ).status_code == 413
    assert endless.read_bytes <= 33 * 2**20


class Broken(BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        raise ValueError(CANARY)


def test_a_body_that_cannot_be_read_is_400(receiver: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    environ = {"wsgi.input": Broken(), "wsgi.input_terminated": True}
    answer = receiver.client.post("/", headers=BY_TOKEN, environ_overrides=environ)
    assert (answer.status_code, answer.get_json()) == (400, {"reason": "body_unreadable"})
    assert CANARY not in json.dumps(lines(capsys))


def test_an_event_that_pubsub_refuses_is_503_so_that_drchrono_repeats_it(
    receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.publish_error = PublishFailed("Pub/Sub: DeadlineExceeded")
    answer = receiver.post(GUIDE)
    assert (answer.status_code, answer.get_json()) == (503, {"reason": "not_durable"})
    lost, rejected = lines(capsys)
    assert (lost["severity"], lost["message"], lost["id"]) == ("ERROR", "webhook.not_durable", "12345")
    assert lost["error"] == "Pub/Sub: DeadlineExceeded"
    assert (rejected["message"], rejected["status"]) == ("webhook.rejected", 503)
    receiver.publish_error = None
    assert receiver.post(GUIDE).status_code == 204
    assert len(receiver.published) == 1


def test_a_body_that_comes_too_slowly_is_408_and_holds_the_thread_no_longer(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender's end stays open and silent: only the deadline ends the reading."""
    sender, server = socket.socketpair()
    server.settimeout(SILENT_SECONDS)
    with sender, server, server.makefile("rb") as body:
        environ = {"wsgi.input": body, "wsgi.input_terminated": True, "gunicorn.socket": server}
        sender.sendall(b'{"event":')
        with (
            flask.Flask("receiver").test_request_context("/", method="POST", environ_overrides=environ),
            pytest.raises(WebhookRejected) as refused,
        ):
            read_body(flask.request, seconds=0.05)
    assert (refused.value.reason, refused.value.status) == ("body_too_slow", 408)


def test_a_slow_body_ends_at_its_own_time_and_no_other_reading_with_it() -> None:
    watching = request_body.WATCHDOG.watching
    (one, sender_of_one), (other, sender_of_other) = socket.socketpair(), socket.socketpair()
    one.settimeout(SILENT_SECONDS)
    with one, sender_of_one, other, sender_of_other, watching(other, 60):
        with pytest.raises(WebhookRejected, match="body_too_slow"), watching(one, 0.05):
            one.recv(1)  # nothing comes: it returns when the reading side is shut down
        sender_of_other.sendall(b"x")
        assert other.recv(1) == b"x"


@pytest.mark.parametrize("secrets", [(), ("",), (SECRET, "")])
@pytest.mark.parametrize("method", ["POST", "GET", "HEAD", "PUT"])
def test_without_a_secret_everything_is_refused_and_the_setting_named(
    receiver: Receiver, capsys: pytest.CaptureFixture[str], secrets: tuple[str, ...], method: str
) -> None:
    receiver.settings = replace(receiver.settings, secrets=secrets)
    answer = receiver.client.open("/?msg=abc", method=method, data=GUIDE, headers=BY_TOKEN)
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
    receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = receiver.client.get("/?msg=d4f2c7a0-0b1e-4f3a-9c58-2a6b7e8f9012")
    assert answer.status_code == 200
    assert answer.get_json() == {"secret_token": "3f6fde6b06b575f6cab5018af0ffd6579e59cf0c4e17cdfec72641098fc7cb09"}
    assert lines(capsys) == [{"severity": "INFO", "message": "webhook.handshake"}]


def test_during_rotation_the_handshake_uses_the_first_secret(receiver: Receiver) -> None:
    receiver.settings = replace(receiver.settings, secrets=(SECRET, "whsec_old"))
    answer = receiver.client.get("/?msg=d4f2c7a0-0b1e-4f3a-9c58-2a6b7e8f9012")
    assert answer.get_json() == {"secret_token": "3f6fde6b06b575f6cab5018af0ffd6579e59cf0c4e17cdfec72641098fc7cb09"}


def test_the_handshake_cannot_be_made_to_sign_a_delivery(
    receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    forged = '{"event":"PATIENT_MODIFY","object_id":666}'
    answer = receiver.client.get("/", query_string={"msg": forged})
    assert (answer.status_code, answer.get_json()) == (400, {"reason": "msg_refused"})
    # The signature that it would have returned is valid:
    digest = "ddbee8d4969e77cfec3105207f51e1affd968e31348d65298236911ec76fab4a"
    assert digest not in answer.text
    assert digest not in json.dumps(lines(capsys))
    assert receiver.post(forged.encode(), {"X-drchrono-signature": digest}).status_code == 204


def test_a_text_that_the_handshake_signs_announces_no_event(receiver: Receiver) -> None:
    for nonce in ("7", "null", "true", "abc", "0f" * 32):
        signature = receiver.client.get("/", query_string={"msg": nonce}).get_json()["secret_token"]
        headers = {"X-drchrono-signature": signature, "X-drchrono-event": "PATIENT_MODIFY"}
        assert receiver.post(nonce.encode(), headers).status_code == 400
    assert receiver.published == []


def test_the_handshake_can_be_switched_off(receiver: Receiver) -> None:
    receiver.settings = replace(receiver.settings, handshake=False)
    answer = receiver.client.get("/?msg=abc")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "HEAD, POST")


@pytest.mark.parametrize("query", ["", "?msg=", "?message=abc", "?msg=%ff", "?msg=a%0d%0ab", "?msg=" + "a" * 5000])
def test_any_other_get_is_400(receiver: Receiver, query: str) -> None:
    answer = receiver.client.get("/" + query)
    assert (answer.status_code, answer.get_json()) == (400, {"reason": "msg_refused"})


def test_head_is_answered(receiver: Receiver) -> None:
    answer = receiver.client.head("/")
    assert (answer.status_code, answer.data) == (200, b"")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_other_methods_are_405_with_the_allowed_ones(receiver: Receiver, method: str) -> None:
    answer = receiver.client.open("/", method=method, data=GUIDE, headers=BY_TOKEN)
    assert (answer.status_code, answer.get_json()) == (405, {"reason": "method_not_allowed"})
    assert answer.headers["Allow"] == "GET, HEAD, POST"
    assert receiver.published == []


@given(
    body=st.binary(max_size=300),
    signature=st.sampled_from([SECRET, ""]) | st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"])),
    event=st.sampled_from(["", "PING", "PATIENT_MODIFY", "APPOINTMENT_DELETE"]),
)
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_get_a_defined_answer(receiver: Receiver, body: bytes, signature: str, event: str) -> None:
    answer = receiver.post(body, {"X-drchrono-signature": signature, "X-drchrono-event": event})
    assert answer.status_code in (204, 400, 401)
    assert answer.status_code == 204 or set(answer.get_json()) == {"reason"}
    assert answer.status_code != 204 or signature == SECRET


def test_concurrent_deliveries_do_not_interfere(receiver: Receiver) -> None:
    def post(number: int) -> int:
        return receiver.post(b'{"event":"PATIENT_CREATE","object_id":%d}' % number).status_code

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(post, range(200))) == {204}
    assert sorted(int(change.id) for change, _ in receiver.published) == list(range(200))
