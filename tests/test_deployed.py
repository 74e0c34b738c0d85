"""The deployed zip as Cloud Run starts it: its own pinned packages, Terraform's variables, Google's emulators."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import requests
from google.cloud import firestore

from local.emulators import Emulators
from local.package import ROOT, write_package
from local.secret_manager import SecretManagerStandIn
from local.subscription import subscribe
from shared.cloud.secret_manager import connect
from shared.tokens.token import Granted
from shared.wiring.system import System
from simulator import Config, Simulator
from tests.planned import PROJECT, environment_of, planned
from tests.served import served

FUNCTIONS = ("receive_webhook", "store_record", "run_job", "send_writes")
SECRET = "made-up-webhook-secret"
ANSWER_SECONDS = 120
ARRIVAL_SECONDS = 60

# What the platform adds to the variables of the plan (cloud.google.com/run/docs/container-contract, and Google's Python
# buildpack). A function with an event trigger is deployed as one that takes CloudEvents, the others as HTTP functions.
PLATFORM = {"LOG_EXECUTION_ID": "true", "PYTHONUNBUFFERED": "TRUE"}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    write_package(ROOT, folder / "functions.zip")
    with zipfile.ZipFile(folder / "functions.zip") as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def interpreter_named(name: str) -> tuple[str, bytes] | None:
    """Where it is and its version; None if it does not start. (Version managers name what is not installed.)"""
    found = shutil.which(name)
    if found is None:
        return None
    ended = subprocess.run([found, "-VV"], capture_output=True, check=False)
    return (found, ended.stdout) if ended.returncode == 0 else None


@pytest.fixture(scope="module")
def python(unpacked: Path, pytestconfig: pytest.Config) -> Path:
    """An interpreter with the package's own requirements.txt and nothing else, kept between runs by their hash.

    Of the deployed version, 3.13, where it is installed.
    """
    base, version = next(found for name in ("python3.13", sys.executable) if (found := interpreter_named(name)))
    requirements = unpacked / "requirements.txt"
    digest = hashlib.sha256(requirements.read_bytes() + version).hexdigest()[:16]
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("package-venv") / digest
    interpreter = folder / "bin" / "python"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([base, "-m", "venv", str(folder)], check=True, timeout=600)
        install = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "--require-hashes", "-r", str(requirements)], check=True, timeout=600)
        (folder / "complete").touch()
    return interpreter


@dataclass(frozen=True)
class Deployed:
    """urls: of each function. logs: the folder with what each wrote to stdout."""

    simulator: Simulator
    urls: dict[str, str]
    logs: Path

    def lines(self, function: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.logs / f"{function}.log").read_text().splitlines()]


@pytest.fixture(scope="module")
def deployed(
    plan: dict[str, Any],
    emulators: Emulators,
    unpacked: Path,
    python: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Deployed]:
    config = Config(patients=4, appointments=4, notes=2, children=1, webhook_secret=SECRET)
    secrets = {
        "drchrono-webhook-secret": SECRET,
        "drchrono-client-id": config.client_id,
        "drchrono-client-secret": config.client_secret,
    }
    logs = tmp_path_factory.mktemp("logs")
    with ExitStack() as stack:
        simulator = stack.enter_context(Simulator(config))
        stand_in = stack.enter_context(SecretManagerStandIn())
        # The only differences to the cloud: where the other side of each connection is.
        here = {**emulators.environment, "SECRET_MANAGER_EMULATOR_HOST": stand_in.address}
        urls = {}
        for function in FUNCTIONS:
            environment = environment_of(plan, function, secrets)
            if "DRCHRONO_URL" in environment:
                environment["DRCHRONO_URL"] = simulator.url
            log = logs / f"{function}.log"
            signature = {"FUNCTION_SIGNATURE_TYPE": "cloudevent" if trigger_of(plan, function) else "http"}
            environment = PLATFORM | signature | environment | here
            port = stack.enter_context(served(function, environment, log, python=python, source=unpacked))
            urls[function] = f"http://127.0.0.1:{port}/"
        subscribe(PROJECT, environment_of(plan, "receive_webhook", secrets)["EVENTS_TOPIC"], urls["store_record"])
        authorize(System(environment), simulator)
        yield Deployed(simulator, urls, logs)


def trigger_of(plan: dict[str, Any], function: str) -> dict[str, Any]:
    """What calls the function besides HTTP; empty where nothing does."""
    functions = planned(plan, "google_cloudfunctions2_function")
    triggers = functions[f'google_cloudfunctions2_function.this["{function}"]']["event_trigger"]
    return dict(triggers[0]) if triggers else {}


def authorize(system: System, simulator: Simulator) -> None:
    """What `python -m ops authorize` leaves behind."""
    cloud = system.cloud()
    connect(cloud).create_secret(parent=f"projects/{cloud.project}", secret_id=cloud.token_secret)
    token = simulator.issue_token()
    system.token_refresher().adopt(Granted(token["access_token"], token["refresh_token"], 3600.0, token["scope"]))


def patient(deployed: Deployed, number: int) -> str:
    """The id of a simulated patient."""
    return sorted(deployed.simulator.truth("patients"))[number]


@pytest.mark.emulator
def test_a_webhook_goes_through_pubsub_into_firestore(deployed: Deployed) -> None:
    key = patient(deployed, 0)
    stored = threading.Event()
    document = firestore.Client(project=PROJECT).document(f"patients/{key}")
    watch = document.on_snapshot(lambda found, *_: stored.set() if found and found[0].exists else None)
    body = {"event": "PATIENT_MODIFY", "object_id": int(key)}

    forged = requests.post(deployed.urls["receive_webhook"], json=body, timeout=ANSWER_SECONDS)
    assert (forged.status_code, stored.is_set()) == (401, False)
    headers = {"X-drchrono-signature": SECRET}
    taken = requests.post(deployed.urls["receive_webhook"], json=body, headers=headers, timeout=ANSWER_SECONDS)

    assert taken.status_code == 204
    assert stored.wait(ARRIVAL_SECONDS), deployed.lines("store_record")
    watch.unsubscribe()  # type: ignore[no-untyped-call]  # the package's own
    assert document.get().get("id") == int(key)


@pytest.mark.emulator
def test_the_smoke_test_of_a_deploy_passes_with_the_secret_and_with_no_other(deployed: Deployed) -> None:
    def smoke_test(secret: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, ROOT / "terraform" / "smoke_test.py", deployed.urls["receive_webhook"]],
            env={"SECONDS_BETWEEN_ATTEMPTS": "0"},
            input=secret,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    right, wrong = smoke_test(f"{SECRET}\n"), smoke_test("another")

    assert (right.returncode, right.stderr) == (0, "")
    assert wrong.returncode == 1
    assert "another secret" in wrong.stderr


@pytest.mark.emulator
def test_a_push_stores_the_record_before_it_is_acknowledged(deployed: Deployed) -> None:
    """As Pub/Sub sends it, though the function is deployed as an HTTP function and without an event trigger."""
    key = patient(deployed, 1)
    change = {"event": "PATIENT_MODIFY", "kind": "patients", "id": key, "delivery": "delivery-1"}
    change["received_at"] = datetime.now(timezone.utc).isoformat()
    message = {"data": base64.b64encode(json.dumps(change).encode()).decode(), "messageId": "1", "attributes": {}}
    push = {"message": message, "subscription": f"projects/{PROJECT}/subscriptions/drchrono-events-store-record"}

    unusable = requests.post(deployed.urls["store_record"], json={}, timeout=ANSWER_SECONDS)
    answer = requests.post(deployed.urls["store_record"], json=push, timeout=ANSWER_SECONDS)

    assert (unusable.status_code, answer.status_code) == (400, 200)
    assert firestore.Client(project=PROJECT).document(f"patients/{key}").get().exists


@pytest.mark.emulator
@pytest.mark.parametrize("job", ["refresh-token", "sync", "reconcile"])
def test_each_scheduled_call_of_the_plan_runs_its_job(deployed: Deployed, plan: dict[str, Any], job: str) -> None:
    [target] = planned(plan, "google_cloud_scheduler_job")[f'google_cloud_scheduler_job.this["{job}"]']["http_target"]

    answer = requests.request(
        target["http_method"],
        deployed.urls["run_job"],
        data=base64.b64decode(target["body"]),
        headers=target["headers"],
        timeout=ANSWER_SECONDS,
    )

    assert answer.status_code == 200, answer.text
    assert job in {line.get("job") for line in deployed.lines("run_job")}


@pytest.mark.emulator
def test_an_entry_of_the_outbox_is_sent_when_eventarc_tells_of_it(deployed: Deployed, plan: dict[str, Any]) -> None:
    """In binary content mode (cloud.google.com/eventarc/docs/cloudevents), as the plan's trigger filters.

    The outbox is in another database than the copy.
    """
    trigger = trigger_of(plan, "send_writes")
    filters = {each["attribute"]: each["value"] for each in trigger["event_filters"]}
    document = filters["document"].replace("{entry}", "booking-4711")
    outbox, copy = firestore.Client(project=PROJECT, database=filters["database"]), firestore.Client(project=PROJECT)
    fields = {"gender": "Female", "doctor": deployed.simulator.clinic.doctors[0]["id"], "first_name": "Planted-Canary"}
    entry = {"kind": "patients", "action": "create", "fields": fields, "requested_by": "booking"}
    outbox.document(document).create({**entry, "requested_at": firestore.SERVER_TIMESTAMP})
    headers = {
        "ce-id": "1",
        "ce-source": f"//firestore.googleapis.com/projects/{PROJECT}/databases/{filters['database']}",
        "ce-specversion": "1.0",
        "ce-type": trigger["event_type"],
        "ce-subject": f"documents/{document}",
        "ce-document": document,
        "Content-Type": "application/protobuf",
    }
    url = deployed.urls["send_writes"]

    event = b"\x0a\x07\xff\x00 no JSON"
    answers = [requests.post(url, data=event, headers=headers, timeout=ANSWER_SECONDS) for _ in range(2)]
    unusable = requests.post(url, json={}, timeout=ANSWER_SECONDS)

    assert [answer.status_code for answer in answers] == [200, 200], deployed.lines("send_writes")
    assert unusable.status_code == 400
    found = outbox.document(document).get().to_dict() or {}
    assert (found["state"], deployed.simulator.stats()["created"]) == ("done", 1)
    assert copy.document(f"patients/{found['record_id']}").get().exists
    assert "Planted-Canary" not in (deployed.logs / "send_writes.log").read_text()


@pytest.mark.emulator
def test_every_line_that_a_function_writes_is_json_and_none_tells_of_a_crash(deployed: Deployed) -> None:
    requests.get(deployed.urls["run_job"], timeout=ANSWER_SECONDS)
    for function in FUNCTIONS:
        lines = deployed.lines(function)
        assert lines, f"{function} wrote nothing"
        assert not [line for line in lines if line["message"] in ("function.crashed", "library.log")]
