"""The modules that the receiver loads. They determine the latency of the first webhook after a pause."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cloud.broker import Broker

ROOT = Path(__file__).parent.parent.parent

# Serves main.py as the platform does, and notes what is loaded: at the start, after what needs no client, and after
# deliveries.
PROGRAM = """
import json, sys
from functions_framework import create_app

def loaded():
    return sorted(sys.modules)

client = create_app("receive_webhook", "main.py").test_client()
stages = [loaded()]
token = {"X-drchrono-signature": "whsec_3f9a"}
assert client.head("/").status_code == 200
assert client.get("/?msg=abc").status_code == 200
assert client.post("/", data=b"{}").status_code == 401
assert client.post("/", data=b"{", headers=token).status_code == 400
assert client.post("/", data=b"{}", headers={**token, "X-drchrono-event": "PING"}).status_code == 204
stages.append(loaded())
for number in (1, 2):
    body = json.dumps({"event": "PATIENT_MODIFY", "object_id": number}).encode()
    assert client.post("/", data=body, headers=token).status_code == 204
stages.append(loaded())
print(json.dumps(stages))
"""

OURS = ("functions", "shared", "local", "ops", "simulator", "workstation", "tests", "benchmarks")

# All of this project that a delivery needs. Whatever is added here is loaded by every cold start.
LOADED = {
    "functions",
    "functions.receive_webhook",
    "functions.request_body",
    "shared",
    "shared.clock",
    "shared.cloud",
    "shared.cloud.pubsub",
    "shared.drchrono",
    "shared.drchrono.ids",
    "shared.drchrono.kinds",
    "shared.environment",
    "shared.errors",
    "shared.log",
    "shared.rate_limit",
    "shared.rate_limit.ledger",
    "shared.rate_limit.windows",
    "shared.settings",
    "shared.webhooks",
    "shared.webhooks.deliveries",
    "shared.webhooks.events",
    "shared.wiring",
    "shared.wiring.cloud",
    "shared.wiring.drchrono",
    "shared.wiring.once",
    "shared.wiring.records",
    "shared.wiring.system",
}


@pytest.fixture(scope="module")
def stages() -> list[set[str]]:
    with Broker() as broker:
        environ = {
            **os.environ,
            "GCP_PROJECT": "test-project",
            "DRCHRONO_WEBHOOK_SECRET": "whsec_3f9a",
            "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{broker.port}",
        }
        run = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, env=environ, stdout=subprocess.PIPE, check=True)
    assert len(broker.requests) == 2
    return [set(stage) for stage in json.loads(run.stdout.splitlines()[-1])]


def ours(modules: set[str]) -> set[str]:
    return {name for name in modules if name.split(".")[0] in OURS}


def test_a_delivery_loads_these_modules_of_ours_and_no_other(stages: list[set[str]]) -> None:
    assert ours(stages[2]) == LOADED


@pytest.mark.parametrize("stage", [0, 1])
def test_before_the_first_delivery_no_client_library_is_loaded(stages: list[set[str]], stage: int) -> None:
    loaded = stages[stage]
    assert not loaded & {"grpc", "google.pubsub_v1", "google.api_core", "google.auth", "requests", "google.protobuf"}
    assert "shared.cloud.pubsub" not in loaded


def test_a_delivery_loads_neither_firestore_nor_secret_manager_nor_the_api_client(
    stages: list[set[str]],
) -> None:
    unwanted = ("google.cloud.firestore", "google.cloud.secretmanager", "google.cloud.pubsub")
    assert not [name for name in stages[2] if name.startswith(unwanted)]
    # The exact list of our own modules is tested above; the API client is not on it.
    assert "shared.drchrono.client" not in stages[2]
    # Google's own libraries load `requests` (google.api_core.retry, google.auth.transport); nothing of ours does.
    assert "google.pubsub_v1" in stages[2]
