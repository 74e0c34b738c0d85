"""An event as a message: what is written is read back, and nothing else is taken for an event."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest

from shared.errors import MessageUnusable
from shared.webhooks.events import EVENTS, Change, decode, encode

NOON = datetime(2026, 3, 24, 12, tzinfo=timezone.utc)
MESSAGE = {
    "event": "PATIENT_MODIFY",
    "kind": "patients",
    "id": "5",
    "delivery": "d1",
    "received_at": "2026-03-24T12:00:00+00:00",
}


@pytest.mark.parametrize("updated_at", [None, "2026-03-24T11:02:33"])
def test_a_message_is_read_as_it_was_written(updated_at: str | None) -> None:
    change = Change("PATIENT_MODIFY", "patients", "5", "d1", NOON, updated_at)
    assert decode(encode(change)) == change
    assert json.loads(encode(change)) == MESSAGE | ({"updated_at": updated_at} if updated_at else {})


def test_another_offset_is_the_same_instant() -> None:
    change = decode(json.dumps(MESSAGE | {"received_at": "2026-03-24T08:00:00-04:00"}).encode())
    assert (change.received_at, change.received_at.tzinfo) == (NOON, timezone.utc)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        *(({name: None}, "field_missing") for name in MESSAGE),
        ({"id": 5}, "field_missing"),
        ({"updated_at": 5}, "field_missing"),
        ({"kind": "nothing"}, "unknown_event"),
        ({"kind": "appointments"}, "unknown_event"),
        ({"event": "PATIENT_EXPLODE"}, "unknown_event"),
        ({"event": "PING"}, "unknown_event"),
        ({"id": ""}, "bad_id"),
        ({"received_at": "at noon"}, "bad_time"),
        ({"received_at": "2026-03-24T12:00:00"}, "bad_time"),
    ],
)
def test_a_message_with_one_wrong_field_is_refused(changed: dict[str, Any], reason: str) -> None:
    data = {name: value for name, value in (MESSAGE | changed).items() if value is not None}
    with pytest.raises(MessageUnusable, match=reason):
        decode(json.dumps(data).encode())


@pytest.mark.parametrize("data", [b"\xff", b"{", b"[" * 100_000])
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(MessageUnusable, match="not_json"):
        decode(data)


@pytest.mark.parametrize("event", sorted(EVENTS))
def test_an_event_says_whether_it_creates_or_deletes(event: str) -> None:
    change = Change(event, "patients", "5", "d1", NOON)
    assert (change.creates, change.deletes) == (event.endswith("CREATE"), event.endswith("DELETE"))


@pytest.mark.parametrize(
    ("delivery", "has"), [("0b6a1f6e-3f7e", True), ("0f" * 32, False), ("0f" * 32 + "0", True), ("0F" * 32, True)]
)
def test_a_hash_of_the_body_is_no_id_of_drchrono(delivery: str, has: bool) -> None:
    assert Change("PATIENT_MODIFY", "patients", "5", delivery, NOON).has_delivery_id is has
