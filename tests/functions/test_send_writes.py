"""`send_writes`: sends the entry that the event names. The next sync sends the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests
from google.cloud import firestore

from functions.send_writes import handle
from local.emulators import Emulators
from local.secret_manager import SecretManagerStandIn
from shared.documents import Documents
from shared.outbox.entries import State
from shared.tokens.token import Granted
from shared.wiring.system import System
from simulator import Config, Simulator
from tests.outbox.harness import harness
from tests.served import served

PROTOBUF = b"\x0a\x07\xff\x00 no JSON"


def test_an_entry_is_sent_once_however_often_the_event_comes(embedded: Documents) -> None:
    with harness(embedded) as at:
        key = at.new_patient()
        for _ in range(3):
            handle(f"outbox/{key}", at.work)
        assert at.entry(key).state is State.DONE
        assert at.simulator.stats()["created"] == 1


@pytest.mark.parametrize("document", [None, "", "outbox", "outbox/", "patients/1", "outbox/a/b/c", 5])
def test_an_event_that_names_no_entry_is_logged_and_done(embedded: Documents, document: object) -> None:
    with harness(embedded) as at:
        at.new_patient()
        assert handle(document, at.work) is None
        assert at.requests() == 0


def test_an_entry_that_no_longer_exists_is_ignored(embedded: Documents) -> None:
    with harness(embedded) as at:
        sent = handle("outbox/gone", at.work)
        assert sent is not None
        assert sent.entry is None


@pytest.mark.emulator
def test_eventarcs_request_sends_the_entry(emulators: Emulators, project: str, tmp_path: Path) -> None:
    with Simulator(Config(patients=3, seed=7)) as simulator, SecretManagerStandIn() as secrets:
        secrets.secrets.create(f"projects/{project}/secrets/drchrono-oauth-token")
        environment = {
            **emulators.environment,
            "GCP_PROJECT": project,
            "OUTBOX_DATABASE": "(default)",
            "SECRET_MANAGER_EMULATOR_HOST": secrets.address,
            "DRCHRONO_URL": simulator.url,
            "DRCHRONO_CLIENT_ID": "simulator-client",
            "DRCHRONO_CLIENT_SECRET": "simulator-secret",
            "DRCHRONO_WRITES": "on",
            "FUNCTION_SIGNATURE_TYPE": "cloudevent",
        }
        issued = simulator.issue_token()
        System(environment).token_refresher().adopt(
            Granted(issued["access_token"], issued["refresh_token"], issued["expires_in"], issued["scope"])
        )
        client = firestore.Client(project=project)
        doctor = simulator.clinic.doctors[0]["id"]
        fields = {"gender": "Female", "doctor": doctor, "first_name": "Planted-Canary"}
        entry = {"kind": "patients", "action": "create", "fields": fields, "requested_by": "booking"}
        client.collection("outbox").document("one").create({**entry, "requested_at": firestore.SERVER_TIMESTAMP})
        # As Eventarc sends it: cloud.google.com/eventarc/docs/cloudevents, binary content mode.
        headers = {
            "ce-id": "1",
            "ce-source": f"//firestore.googleapis.com/projects/{project}/databases/(default)",
            "ce-specversion": "1.0",
            "ce-type": "google.cloud.firestore.document.v1.created",
            "ce-subject": "documents/outbox/one",
            "ce-document": "outbox/one",
            "Content-Type": "application/protobuf",
        }
        log = tmp_path / "log"
        with served("send_writes", environment, log) as port:
            answers = [
                requests.post(f"http://127.0.0.1:{port}/", data=PROTOBUF, headers=headers, timeout=60) for _ in range(2)
            ]
        assert [answer.status_code for answer in answers] == [200, 200], log.read_text()
        found = client.collection("outbox").document("one").get().to_dict() or {}
        assert found["state"] == "done"
        assert client.collection("patients").document(found["record_id"]).get().exists
        assert simulator.stats()["created"] == 1
        assert "Planted-Canary" not in log.read_text() + log.with_suffix(".stderr").read_text()
