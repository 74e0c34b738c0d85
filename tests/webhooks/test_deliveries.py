"""The meaning of a request to the receiver. The digests were computed with `openssl dgst -sha256 -hmac`."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.drchrono.ids import is_id
from shared.errors import WebhookRejected
from shared.webhooks.deliveries import UNKNOWN, Delivery, answer_handshake, is_authentic, read_delivery
from shared.webhooks.events import EVENTS, Change, decode, encode

NOON = datetime(2026, 3, 24, 12, 0, tzinfo=timezone.utc)
SECRET = "whsec_3f9a"

GUIDE = b'{"event":"PATIENT_MODIFY","object_id":12345,"webhook_id":"abc123"}'
GUIDE_HMAC = b"9fc044449f732a87442721b360017cb92a0eb2239f0887cdf5a83cf3721a207a"
LIVE = (
    b'{"practice_group_id": 4321, "receiver": {"id": 7}, "object": '
    rb'{"id": "143422207", "updated_at": "2026-03-24T11:02:33", "reason": "caf\u00e9"}}'
)
LIVE_HMAC = b"a7841af55e9b23c30fc4ea2b86e982252aa292244cf8b53c02ef7a6e3dd0ee57"
UTF8 = b'{"event":"PATIENT_CREATE","object_id":"77","note":"M\xc3\xbcller"}'
UTF8_HMAC = b"9b56956778cfa9fd5ec0e16e64aedb5f2a2024dd7bf46084f39f46782a6e5de6"
EMPTY_HMAC = b"c614b5a92d1d6994d204081192976711a661d5527fa966798e7856914cde967b"


def read(body: Any, *, event: str = "", delivery: str = "") -> Delivery:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_delivery(raw, event_header=event, delivery_header=delivery, received_at=NOON)


def change_of(body: Any, *, event: str = "", delivery: str = "") -> Change:
    change = read(body, event=event, delivery=delivery).change
    assert change is not None
    return change


@pytest.mark.parametrize(
    ("body", "signature"), [(GUIDE, GUIDE_HMAC), (LIVE, LIVE_HMAC), (UTF8, UTF8_HMAC), (b"", EMPTY_HMAC)]
)
def test_the_hmac_of_the_raw_body_that_openssl_computes_is_accepted(body: bytes, signature: bytes) -> None:
    assert is_authentic(body, signature, secrets=[SECRET], form="hmac")
    assert is_authentic(body, signature, secrets=[SECRET], form="either")
    assert not is_authentic(body, signature, secrets=[SECRET], form="token")


def test_the_secret_itself_is_accepted_as_the_live_service_sends_it() -> None:
    assert is_authentic(LIVE, b"whsec_3f9a", secrets=[SECRET], form="token")
    assert is_authentic(LIVE, b"whsec_3f9a", secrets=[SECRET], form="either")
    assert not is_authentic(LIVE, b"whsec_3f9a", secrets=[SECRET], form="hmac")


@pytest.mark.parametrize("form", ["hmac", "token", "either"])
@pytest.mark.parametrize(
    "signature",
    [
        b"",
        b" ",
        b"whsec_3f9",
        b"whsec_3f9a ",
        b"WHSEC_3F9A",
        GUIDE_HMAC[:-1],
        GUIDE_HMAC.upper(),
        b"sha256=" + GUIDE_HMAC,
        GUIDE_HMAC + b"," + GUIDE_HMAC,
        LIVE_HMAC,
        EMPTY_HMAC,
        b"\xff\xfe\x00",
        b"x" * 10_000,
    ],
)
def test_any_other_signature_is_refused(signature: bytes, form: str) -> None:
    assert not is_authentic(GUIDE, signature, secrets=[SECRET], form=form)


def test_during_rotation_both_secrets_are_valid_in_both_forms() -> None:
    rotating = ["whsec_next", SECRET]
    digest_with_next = b"7dd2dabba77c636b5d2fdd9fdd7152ecfe8a69f1353ec8ef1488514dcaf12531"
    for signature in (GUIDE_HMAC, digest_with_next, b"whsec_3f9a", b"whsec_next"):
        assert is_authentic(GUIDE, signature, secrets=rotating, form="either")
    assert not is_authentic(GUIDE, GUIDE_HMAC, secrets=["whsec_next"], form="either")


def test_without_a_secret_nothing_is_authentic() -> None:
    assert not is_authentic(GUIDE, b"", secrets=[], form="either")


@given(body=st.binary(max_size=300))
@example(body=GUIDE[:-1] + b" }")
@example(body=GUIDE + b"\n")
def test_no_other_body_verifies_with_the_digest_of_this_one(body: bytes) -> None:
    assert is_authentic(body, GUIDE_HMAC, secrets=[SECRET], form="hmac") == (body == GUIDE)


@given(place=st.integers(0, len(LIVE) - 1), changed=st.integers(1, 255))
def test_no_changed_byte_of_a_signed_body_verifies(place: int, changed: int) -> None:
    body = bytearray(LIVE)
    body[place] ^= changed
    assert not is_authentic(bytes(body), LIVE_HMAC, secrets=[SECRET], form="either")


def test_the_handshake_is_answered_with_the_digest_that_openssl_computes() -> None:
    expected = "3f6fde6b06b575f6cab5018af0ffd6579e59cf0c4e17cdfec72641098fc7cb09"
    assert answer_handshake("d4f2c7a0-0b1e-4f3a-9c58-2a6b7e8f9012", SECRET) == expected


@pytest.mark.parametrize("nonce", ["a", "0f" * 100, "QUJD+/=", "1700000000.5", "a:b~c_d-e"])
def test_usual_nonces_are_signed(nonce: str) -> None:
    assert len(answer_handshake(nonce, SECRET)) == 64


@pytest.mark.parametrize(
    "message",
    ["", "a" * 201, "{}", "[1]", '"a"', "a b", "a\n", "\ta", "a\x00", "é", "\u0661", "a,b", "\ufeffa", "a%7B"],
)
def test_texts_that_are_not_plain_nonces_are_not_signed(message: str) -> None:
    with pytest.raises(WebhookRejected) as refused:
        answer_handshake(message, SECRET)
    assert (refused.value.reason, refused.value.status) == ("msg_refused", 400)


@given(message=st.text(max_size=250) | st.from_regex(r"[A-Za-z0-9+/=_.:~-]{1,200}", fullmatch=True))
def test_whatever_the_handshake_signs_announces_no_change(message: str) -> None:
    try:
        answer_handshake(message, SECRET)
    except WebhookRejected:
        return
    with pytest.raises(WebhookRejected):
        read(message.encode(), event="PATIENT_MODIFY")


def test_the_guides_form_is_read() -> None:
    assert read(GUIDE) == Delivery(
        event="PATIENT_MODIFY",
        change=Change(
            event="PATIENT_MODIFY",
            kind="patients",
            id="12345",
            # openssl dgst -sha256 of event, id and body, a line feed between them
            delivery="1c60421be7fb8260e392eebf1a17cc14c1d77d77736b56a3d129e8639da9b2ba",
            received_at=NOON,
        ),
    )


def test_the_live_form_is_read_without_passing_on_the_object() -> None:
    change = change_of(LIVE, event="APPOINTMENT_MODIFY", delivery="0b6a1f6e-3f7e")
    assert change == Change(
        event="APPOINTMENT_MODIFY",
        kind="appointments",
        id="143422207",
        delivery="0b6a1f6e-3f7e",
        received_at=NOON,
        updated_at="2026-03-24T11:02:33",
    )
    assert b"caf" not in encode(change)


@pytest.mark.parametrize(
    ("event", "body", "expected"),
    [
        ("PATIENT_MODIFY", {"object_id": 5, "object": {"id": 6}}, "5"),
        ("PATIENT_MODIFY", {"object_id": "5"}, "5"),
        ("PATIENT_MODIFY", {"object_id": None, "object": {"id": 6}}, "6"),
        ("APPOINTMENT_DELETE", {"object": {"id": "143422207_2026-03-01"}}, "143422207_2026-03-01"),
        ("CLINICAL_NOTE_LOCK", {"object": {"id": 9, "appointment": "8"}}, "9"),
        ("CLINICAL_NOTE_LOCK", {"object": {"appointment": "8", "patient": "7"}}, "8"),
        ("CLINICAL_NOTE_UNLOCK", {"object": {"appointment": 8}}, "8"),
    ],
)
def test_the_id_is_object_id_then_the_objects_own_then_a_notes_appointment(
    event: str, body: dict[str, Any], expected: str
) -> None:
    assert change_of(body, event=event).id == expected


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"object": None},
        {"object": []},
        {"object": "5"},
        {"object": {}},
        {"object_id": ""},
        {"object_id": True},
        {"object_id": 1.5},
        {"object_id": [5]},
        {"object_id": {"id": 5}},
        {"object_id": "x" * 1401},
        {"object_id": "\ud800"},
        {"object_id": 10**200},
        {"object": {"appointment": 8}},
        {"webhook_id": "abc123", "receiver": {"id": 7}},
    ],
)
def test_a_kept_kind_without_a_usable_id_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(WebhookRejected) as refused:
        read(body, event="PATIENT_MODIFY")
    assert (refused.value.reason, refused.value.status) == ("id_missing", 400)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"7",
        b'"PATIENT_MODIFY"',
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        '{"object_id":5}'.encode("utf-16"),
        b"[" * 100_000,
        b'{"object":' * 100_000,
        b'{"object_id":' + b"9" * 5000 + b"}",
    ],
)
def test_a_kept_kind_with_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(WebhookRejected) as refused:
        read(body, event="PATIENT_MODIFY")
    assert (refused.value.reason, refused.value.status) == ("body_not_an_object", 400)


def test_of_duplicate_keys_the_last_counts() -> None:
    assert change_of(b'{"object_id":1,"object_id":2}', event="PATIENT_MODIFY").id == "2"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"event":""}', b'{"event":5,"object_id":5}'])
def test_a_delivery_that_names_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(WebhookRejected) as refused:
        read(body)
    assert (refused.value.reason, refused.value.status) == ("event_missing", 400)


def test_the_bodys_event_counts_over_the_headers_and_the_difference_shows() -> None:
    delivery = read(GUIDE, event="APPOINTMENT_DELETE")
    assert (delivery.event, delivery.event_differs) == ("PATIENT_MODIFY", True)
    assert not read(GUIDE, event="PATIENT_MODIFY").event_differs
    assert not read(GUIDE).event_differs
    assert read({"event": 5, "object_id": 6}, event="PATIENT_CREATE").event == "PATIENT_CREATE"


@pytest.mark.parametrize("event", sorted(name for name, kind in EVENTS.items() if kind is not None))
def test_every_event_of_a_kept_kind_becomes_a_change_that_travels(event: str) -> None:
    change = change_of({"object": {"id": 5, "updated_at": "2026-03-24T11:02:33.123456"}}, event=event)
    assert change.kind == EVENTS[event]
    assert decode(encode(change)) == change


@pytest.mark.parametrize("event", sorted(name for name, kind in EVENTS.items() if kind is None))
@pytest.mark.parametrize("body", [b"", b"{}", b'{"object":null}', LIVE])
def test_ping_and_kinds_that_are_not_kept_are_accepted_with_any_body(event: str, body: bytes) -> None:
    assert read(body, event=event) == Delivery(event, None)


@pytest.mark.parametrize(
    ("event", "named"),
    [
        ("CARE_TEAM_CREATE", "CARE_TEAM_CREATE"),
        ("patient_modify", UNKNOWN),
        ("PATIENT_MODIFY ", UNKNOWN),
        ("Jane Doe", UNKNOWN),
        ("A" * 61, UNKNOWN),
        ("PATIENT\nMODIFY", UNKNOWN),
        ("É", UNKNOWN),
        ("\ud800", UNKNOWN),
    ],
)
def test_an_unknown_event_is_accepted_and_named_only_if_it_has_the_form_of_a_name(event: str, named: str) -> None:
    assert read({"event": event, "object_id": 5}) == Delivery(named, None)


@pytest.mark.parametrize("header", ["", "a b", "a" * 101, "é", "a\n", "<script>", "a/b", "\x00"])
def test_a_delivery_id_that_is_not_plain_is_replaced_by_a_digest(header: str) -> None:
    first = change_of(GUIDE, delivery=header).delivery
    assert first == "1c60421be7fb8260e392eebf1a17cc14c1d77d77736b56a3d129e8639da9b2ba"
    assert change_of(GUIDE + b" ", delivery=header).delivery != first


@pytest.mark.parametrize(
    "updated_at",
    [None, 5, "", "2026-03-24", "2026-03-24 11:02:33", "2026-03-24T11:02:33Z", "Jane", "٢026-03-24T11:02:33", {}],
)
def test_an_updated_at_in_another_form_is_not_passed_on(updated_at: object) -> None:
    assert change_of({"object": {"id": 5, "updated_at": updated_at}}, event="PATIENT_MODIFY").updated_at is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["event", "object_id", "object", "id", "updated_at", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(
    body=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()),
    event=st.sampled_from(["", *EVENTS]) | st.text(max_size=10),
    delivery=st.text(max_size=10),
)
def test_any_bytes_end_in_a_change_that_travels_or_an_ignored_event_or_a_400(
    body: bytes, event: str, delivery: str
) -> None:
    try:
        change = read(body, event=event, delivery=delivery).change
    except WebhookRejected as refused:
        change = None
        status = refused.status
    else:
        status = 204
    assert status in (204, 400)
    if change is not None:
        assert is_id(change.id)
        assert decode(encode(change)) == change
