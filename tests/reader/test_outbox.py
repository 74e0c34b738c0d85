"""A program that writes through the reader's `Outbox`, with the system and the simulator behind it."""

from __future__ import annotations

import pytest
from google.api_core.exceptions import AlreadyExists
from google.cloud import firestore

from drchrono_reader import Outbox
from local.emulators import Emulators
from shared.cloud.firestore import FirestoreDocuments
from tests.outbox.harness import harness

pytestmark = pytest.mark.emulator


def test_a_request_is_done_once_under_its_name(emulators: Emulators, project: str) -> None:
    client = firestore.Client(project=project)
    with harness(FirestoreDocuments(client)) as at:
        outbox = Outbox(
            client, requested_by="booking", now=lambda: at.now().timestamp(), sleep=lambda _: at.pass_over()
        )
        fields = {"gender": "Female", "doctor": at.doctor, "first_name": "Nina", "last_name": "Berg"}
        entry = outbox.create("patients", fields, entry="booking-4711")
        with pytest.raises(AlreadyExists):
            outbox.create("patients", fields, entry="booking-4711")
        first = outbox.get(entry)
        assert first is not None
        assert (first.state, first.final) == ("new", False)
        made = outbox.wait(entry)
        (patient,) = at.named("Berg")
        assert (made.done, made.record_id, made.version) == (True, str(patient["id"]), patient["updated_at"])
        changed = outbox.wait(
            outbox.update("patients", patient["id"], {"city": "Dover"}, expected_updated_at=made.version)
        )
        assert changed.done
        assert at.simulator.truth("patients")[str(patient["id"])]["city"] == "Dover"


def test_a_refusal_says_why_by_field_and_waiting_ends(emulators: Emulators, project: str) -> None:
    client = firestore.Client(project=project)
    with harness(FirestoreDocuments(client)) as at:
        outbox = Outbox(
            client, requested_by="booking", now=lambda: at.now().timestamp(), sleep=lambda s: at.pass_over(seconds=s)
        )
        refused = outbox.wait(outbox.create("patients", {"gender": "What"}))
        assert (refused.state, refused.reason) == ("rejected", "invalid")
        assert refused.complaints.keys() == {"gender", "doctor"}
        at.allowance.left = 0
        waiting = outbox.wait(outbox.create("patients", {"gender": "", "doctor": at.doctor}), seconds=3)
        assert (waiting.state, waiting.final) == ("waiting", False)
        with pytest.raises(KeyError):
            outbox.wait("gone")
