"""receive_webhook under true deliveries that were tampered with, signed rightly or not.

FUZZ_EXAMPLES says how many deliveries are tried by each test.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import os
from contextlib import redirect_stdout
from dataclasses import replace
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.drchrono.ids import is_id
from shared.webhooks.events import EVENTS, encode
from tests.functions.deliveries import SECRET, Receiver
from tests.fuzz.answers import CANARY, cut, spoiled

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "150"))
FUZZED = settings(max_examples=10 * EXAMPLES, suppress_health_check=list(HealthCheck))
SEEDS = st.integers(0, 2**32)

OBJECT = {"id": 87654321, "first_name": CANARY, "updated_at": "2026-03-24T11:02:33", "patient": 12345}
RECEIVER = {"id": 7, "owning_doctor_id": 2, "callback_url": "https://example.org/hook", "active": True}
DELIVERIES = (
    {"event": "PATIENT_MODIFY", "object_id": 12345, "webhook_id": "abc123"},
    {"practice_group_id": 4321, "receiver": RECEIVER, "object": OBJECT},
    {"practice_group_id": 4321, "receiver": RECEIVER, "object": {"appointment": "77", "archived": False}},
)
NAMES = ("", "PING", *EVENTS, "PATIENT_EXPLODE", CANARY)


def tampered(dice: Random) -> bytes:
    delivery = dice.choice(DELIVERIES)
    body = json.dumps(spoiled(delivery, dice) if dice.random() < 0.8 else delivery).encode()
    return cut(body, dice) if dice.random() < 0.3 else body


def signature(body: bytes) -> str:
    return hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


@FUZZED
@given(seed=SEEDS)
def test_an_authentic_delivery_is_published_without_its_content_or_refused_for_a_reason(seed: int) -> None:
    dice, receiver, log = Random(seed), Receiver(), io.StringIO()
    body = tampered(dice)
    signed = SECRET if dice.random() < 0.5 else signature(body)
    with redirect_stdout(log):
        answer = receiver.post(body, {"X-drchrono-signature": signed, "X-drchrono-event": dice.choice(NAMES)})
    assert answer.status_code in (204, 400)
    assert len(receiver.published) <= (answer.status_code == 204)
    for change, _ in receiver.published:
        assert EVENTS[change.event] == change.kind
        assert is_id(change.id)
        assert len(encode(replace(change, id=""))) < 1000
        assert CANARY not in encode(replace(change, id="")).decode()
    # An id is any text, and is named in the log: only where a content stood in its place may it be seen.
    assert CANARY not in log.getvalue() or any(CANARY in change.id for change, _ in receiver.published)
    assert CANARY not in answer.get_data(as_text=True)


@FUZZED
@given(seed=SEEDS)
def test_a_signature_is_good_for_the_bytes_that_were_signed_and_no_others(seed: int) -> None:
    dice, receiver = Random(seed), Receiver()
    true = json.dumps(dice.choice(DELIVERIES)).encode()
    body = cut(true, dice)
    with redirect_stdout(io.StringIO()):
        answer = receiver.post(body, {"X-drchrono-signature": signature(true), "X-drchrono-event": "PATIENT_MODIFY"})
    assert (answer.status_code == 401) == (body != true)


@FUZZED
@given(seed=SEEDS)
def test_what_the_handshake_signs_is_never_a_delivery(seed: int) -> None:
    dice, receiver = Random(seed), Receiver()
    message = tampered(dice).decode(errors="replace")
    if dice.random() < 0.5:
        message = "".join(filter(str.isalnum, message))[: dice.randrange(300)]
    with redirect_stdout(io.StringIO()):
        answer = receiver.client.get("/", query_string={"msg": message})
        if answer.status_code == 200:
            forged = {"X-drchrono-signature": answer.get_json()["secret_token"], "X-drchrono-event": "PATIENT_MODIFY"}
            assert receiver.post(message.encode(), forged).status_code == 400
    assert answer.status_code in (200, 400)
    assert receiver.published == []
