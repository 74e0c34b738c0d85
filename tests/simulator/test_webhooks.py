"""Webhook deliveries: events, bodies, signatures, redelivery, loss, duplication and reordering."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from simulator.webhooks.delivery import sign

from .conftest import Caller, Receiver

Simulate = Callable[..., Caller]
HOUR = 3600


@pytest.fixture
def notify(simulate: Simulate, receiver: Receiver) -> Callable[..., Caller]:
    """Start a simulator that delivers to the receiver."""

    def start(form: str = "guide", **settings: Any) -> Caller:
        caller = simulate(form=form)
        caller.control("POST", "webhook", url=f"{receiver.url}/hook", secret="whsec", **settings)
        return caller

    return start


def test_signatures_match_openssl() -> None:
    # printf 'Grüße' | openssl dgst -sha256 -hmac s3cr3t
    expected = "f092e95583d50901c07080355974bb865881f95502c86c2bdb65252ddb73bce7"
    assert sign("s3cr3t", "Grüße".encode(), "hmac") == expected
    assert sign("s3cr3t", b"anything", "token") == "s3cr3t"


def test_the_guides_delivery_names_event_and_id_and_is_signed_over_its_bytes(
    notify: Callable[..., Caller], receiver: Receiver
) -> None:
    sent = notify().control("POST", "webhook/send", event="PATIENT_MODIFY", id=90000005)
    ((headers, body),) = receiver.deliveries
    assert body == b'{"event": "PATIENT_MODIFY", "object_id": 90000005, "webhook_id": "wh_1001"}'
    # openssl dgst -sha256 -hmac whsec
    digest = "ad5bee3134000e035cb5bfd96f4734d2cbe3d39df02c5845f6c3a12023aca6ff"
    assert headers["x-drchrono-signature"] == digest
    assert headers["x-drchrono-event"] == "PATIENT_MODIFY"
    assert headers["content-type"] == "application/json"
    assert sent == {
        "event": "PATIENT_MODIFY",
        "id": 90000005,
        "status": 204,
        "delivery": headers["x-drchrono-delivery"],
    }


def test_the_live_delivery_carries_the_record_and_the_secret_itself(
    notify: Callable[..., Caller], receiver: Receiver
) -> None:
    caller = notify("live")
    caller.control("POST", "webhook/send", event="PATIENT_MODIFY", id=90000005)
    ((headers, body),) = receiver.deliveries
    assert headers["x-drchrono-signature"] == "whsec"
    parsed = json.loads(body)
    assert set(parsed) == {"practice_group_id", "receiver", "object"}
    assert parsed["object"] == caller.simulator.truth("patients")["90000005"]


def test_a_live_note_event_names_the_appointment_and_no_id(notify: Callable[..., Caller], receiver: Receiver) -> None:
    caller = notify("live")
    locked = caller.control("POST", "lock")
    assert locked["event"] == "CLINICAL_NOTE_LOCK"
    caller.simulator.settle()
    ((_, body),) = receiver.deliveries
    assert json.loads(body)["object"]["appointment"] == locked["id"]
    assert "id" not in json.loads(body)["object"]


GUIDE_EVENTS = {
    ("create", "patients"): "PATIENT_CREATE",
    ("change", "patients"): "PATIENT_MODIFY",
    ("delete", "patients"): None,
    ("create", "appointments"): "APPOINTMENT_CREATE",
    ("change", "appointments"): "APPOINTMENT_MODIFY",
    ("delete", "appointments"): None,
    ("create", "clinical_notes"): "CLINICAL_NOTE_MODIFY",
    ("change", "clinical_notes"): "CLINICAL_NOTE_MODIFY",
    ("create", "medications"): None,
    ("change", "problems"): None,
    ("change", "allergies"): None,
}
LIVE_EVENTS = GUIDE_EVENTS | {
    ("delete", "appointments"): "APPOINTMENT_DELETE",
    ("create", "clinical_notes"): None,
    ("change", "clinical_notes"): None,
    ("create", "medications"): "PATIENT_MEDICATION_CREATE",
    ("change", "problems"): "PATIENT_PROBLEM_MODIFY",
    ("change", "allergies"): "PATIENT_ALLERGY_MODIFY",
}


@pytest.mark.parametrize(("form", "expected"), [("guide", GUIDE_EVENTS), ("live", LIVE_EVENTS)])
def test_each_form_sends_the_events_it_knows(
    notify: Callable[..., Caller], receiver: Receiver, form: str, expected: dict[tuple[str, str], str | None]
) -> None:
    caller = notify(form)
    told = {(deed, kind): caller.control("POST", deed, kind=kind)["event"] for deed, kind in expected}
    assert told == expected
    caller.simulator.settle()
    assert sorted(receiver.events) == sorted(event for event in expected.values() if event)


def test_writes_through_the_api_are_announced_too(notify: Callable[..., Caller], receiver: Receiver) -> None:
    caller = notify()
    key = next(iter(caller.simulator.truth("patients")))
    caller.call("PATCH", f"/api/patients/{key}", json={"city": "Dover"})
    caller.simulator.settle()
    assert receiver.events == ["PATIENT_MODIFY"]


def test_a_change_can_be_made_without_a_webhook(notify: Callable[..., Caller], receiver: Receiver) -> None:
    caller = notify()
    assert caller.control("POST", "change", kind="patients", webhook=False)["event"] is None
    caller.simulator.settle()
    assert receiver.deliveries == []


@pytest.mark.parametrize("status", [500, 302, 404])
def test_a_failed_delivery_is_repeated_after_1_3_and_7_hours_and_then_never(
    notify: Callable[..., Caller], receiver: Receiver, status: int
) -> None:
    caller = notify()
    receiver.status = status
    caller.control("POST", "change")
    clock, seen = caller.simulator.clock, []
    for _ in range(10):
        caller.simulator.settle()
        seen.append(len(receiver.deliveries))
        clock.advance(HOUR)
    assert seen == [1, 2, 2, 3, 3, 3, 3, 4, 4, 4]
    assert len({headers["x-drchrono-delivery"] for headers, _ in receiver.deliveries}) == 1
    assert receiver.asked == []  # the redirect was not followed
    webhooks = caller.simulator.stats()["webhooks"]
    assert webhooks == {"made": 1, "sent": 4, "delivered": 0, "failed": 4, "lost": 0, "waiting": 0}


def test_a_successful_redelivery_is_the_last(notify: Callable[..., Caller], receiver: Receiver) -> None:
    caller = notify(redelivery_seconds=[10, 20, 30])
    receiver.statuses = [503, 503]
    caller.control("POST", "change")
    caller.simulator.settle()
    assert caller.simulator.stats()["webhooks"]["waiting"] == 1
    caller.simulator.clock.advance(100)
    assert len(receiver.deliveries) == 3
    assert caller.simulator.stats()["webhooks"]["waiting"] == 0


def test_an_unreachable_receiver_is_a_failed_delivery(simulate: Simulate) -> None:
    caller = simulate()
    caller.control("POST", "webhook", url="http://127.0.0.1:9/")
    assert caller.control("POST", "webhook/send", event="PING")["status"] is None
    assert caller.simulator.stats()["webhooks"]["failed"] == 1


def test_events_are_lost_and_duplicated_with_the_given_probabilities(
    notify: Callable[..., Caller], receiver: Receiver
) -> None:
    caller = notify(lose=0.3, duplicate=0.3)
    for _ in range(60):
        caller.simulator.change("patients")
    caller.simulator.settle()
    webhooks = caller.simulator.stats()["webhooks"]
    assert webhooks["made"] == 60
    assert 8 < webhooks["lost"] < 30
    deliveries = [headers["x-drchrono-delivery"] for headers, _ in receiver.deliveries]
    assert len(set(deliveries)) == 60 - webhooks["lost"]
    assert 5 < len(deliveries) - len(set(deliveries)) < 25


def test_a_delay_uses_the_simulators_clock(notify: Callable[..., Caller], receiver: Receiver) -> None:
    caller = notify(delay=[5, 9])
    caller.simulator.change()
    caller.simulator.clock.advance(4.9)
    assert receiver.deliveries == []
    caller.simulator.clock.advance(4.2)
    assert len(receiver.deliveries) == 1


def test_a_reordered_event_is_overtaken_by_the_next(notify: Callable[..., Caller], receiver: Receiver) -> None:
    caller = notify(reorder=1)
    first = caller.simulator.change("patients")["id"]
    caller.simulator.settle()
    assert receiver.deliveries == []
    caller.control("POST", "webhook", reorder=0)
    caller.simulator.change("appointments")
    caller.simulator.settle()
    assert receiver.events == ["APPOINTMENT_MODIFY", "PATIENT_MODIFY"]
    assert json.loads(receiver.deliveries[1][1])["object_id"] == first


def test_a_reordered_event_without_a_following_event_is_delivered_after_a_while(
    notify: Callable[..., Caller], receiver: Receiver
) -> None:
    caller = notify(reorder=1)
    caller.simulator.change()
    caller.simulator.clock.advance(2)
    assert len(receiver.deliveries) == 1


def test_the_handshake_requires_the_hmac_of_its_message(notify: Callable[..., Caller], receiver: Receiver) -> None:
    caller = notify()
    assert caller.control("POST", "webhook/verify") == {"verified": False, "status": 200}
    # The seed determines the message; openssl computed the digest.
    assert receiver.asked == ["/hook?msg=f3ffe7e1a896ad1b29a91e9a9f041e8e"]
    digest = "4a5d6b9bd60a94d4d955872a0b6dec9cfccce4b53a861e75959a93540ba82f20"
    for answer, verified in (({"secrettoken": digest}, False), ({"secret_token": digest}, True)):
        other = notify()
        receiver.handshake = (200, json.dumps(answer).encode())
        assert other.control("POST", "webhook/verify")["verified"] is verified
    receiver.handshake = (302, b"")
    assert notify().control("POST", "webhook/verify") == {"verified": False, "status": 302}


def test_nothing_is_sent_before_a_required_handshake(notify: Callable[..., Caller], receiver: Receiver) -> None:
    caller = notify(require_verification=True)
    caller.simulator.change()
    caller.simulator.settle()
    assert receiver.deliveries == []


def test_a_ping_has_no_object(notify: Callable[..., Caller], receiver: Receiver) -> None:
    sent = notify("live").control("POST", "webhook/send", event="PING")
    assert (sent["id"], sent["status"]) == (None, 204)
    assert json.loads(receiver.deliveries[0][1])["object"] == {}


def test_a_delivery_can_be_sent_several_times(notify: Callable[..., Caller], receiver: Receiver) -> None:
    notify().control("POST", "webhook/send", event="APPOINTMENT_MODIFY", copies=3)
    assert len(receiver.deliveries) == 3
    assert len({headers["x-drchrono-delivery"] for headers, _ in receiver.deliveries}) == 1
