"""Everything at once with planted names; the tests beside this module search what comes out of it.

The three functions are served as in the cloud, each in a process of its own. A name is planted wherever patient data
could come from: bodies, headers and queries of webhooks, fields of records, and DrChrono's error texts.
"""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import requests
from google.pubsub_v1 import SubscriberClient

from local.emulators import free_port
from local.processes import Processes, Program
from local.secret_manager import SecretManagerStandIn
from local.subscription import subscribe
from shared.cloud.secret_manager import connect
from shared.tokens.token import Granted
from shared.wiring.system import System
from simulator import Config, Simulator
from simulator.messages import Request, Response
from workstation.embedded_push import Pusher
from workstation.wiring import FOLDER, local_system, queue

NAME = "Zebulon-Quackenbush"
SECRET = "canary-webhook-secret"
PROJECT = "canary"
TOPIC = "drchrono-events"
TAP = f"projects/{PROJECT}/subscriptions/tap"  # sees every message that is published
SETTLE_SECONDS = 30


class Talkative(Simulator):
    """A DrChrono whose errors quote the chart. `refusal`: the status it answers reads with, or None."""

    refusal: int | None = None

    def handle(self, request: Request) -> Response:
        response = super().handle(request)
        if self.refusal is None or not request.path.startswith("/api/"):
            return response
        text = json.dumps({"detail": f"{NAME} cannot be shown"}).encode()
        wait = (("Retry-After", "1"),) if self.refusal == 429 else ()
        return replace(response, status=self.refusal, body=text, headers=wait)


@dataclass
class Served:
    """The running system. answers: the text of every answer that the functions gave."""

    simulator: Talkative
    system: System
    urls: dict[str, str]
    folder: Path
    answers: list[str]

    def post(self, function: str, body: bytes | dict[str, Any], **headers: str) -> int:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = requests.post(self.urls[function], data, headers=headers, timeout=120)
        self.answers.append(answer.text + str(answer.headers))
        return answer.status_code

    def job(self, name: str, **fields: Any) -> dict[str, Any]:
        self.post("run_job", {"job": name, **fields})
        return dict(json.loads(self.answers[-1].partition("\n")[0]))

    def outputs(self) -> dict[str, str]:
        """Everything that is not a record: what processes wrote, what lies in queues and state, what was answered."""
        found = {path.name: path.read_text(errors="replace") for path in self.folder.glob("*.log")}
        for collection in ("sync_pending", "sync_state", "sync_status", "feed"):
            found[collection] = repr(list(self.system.documents().query(collection)))
        found["answers"] = "\n".join(self.answers)
        queued = self.folder / "queue.sqlite3"
        if queued.exists():
            with closing(sqlite3.connect(queued)) as connection:
                found["queue"] = "\n".join(connection.iterdump())
        else:
            pulled = SubscriberClient().pull(subscription=TAP, max_messages=1000).received_messages
            assert pulled, "the tap got no message"
            found["messages"] = repr([(message.message.data, message.message.attributes) for message in pulled])
        return found

    def lines(self) -> list[dict[str, Any]]:
        """The log lines of all functions."""
        texts = [path.read_text(errors="replace") for path in self.folder.glob("*.log")]
        return [json.loads(line) for text in texts for line in text.splitlines() if line.startswith("{")]

    def until(self, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SETTLE_SECONDS
        while not reached():
            assert time.monotonic() < deadline, "what was waited for did not happen"
            time.sleep(0.2)


def served(backend: str, folder: Path) -> Iterator[Served]:
    """backend: `embedded`, or `emulators`, whose variables are in the environment then."""
    config = Config(patients=40, appointments=30, notes=6, children=1, webhook_secret=SECRET)
    ports = {name: free_port() for name in ("receive_webhook", "store_record", "run_job")}
    urls = {name: f"http://127.0.0.1:{port}/" for name, port in ports.items()}
    with ExitStack() as stack:
        simulator = stack.enter_context(Talkative(config))
        secrets = stack.enter_context(SecretManagerStandIn())
        told = {
            "GCP_PROJECT": PROJECT,
            "DRCHRONO_URL": simulator.url,
            "DRCHRONO_CLIENT_ID": config.client_id,
            "DRCHRONO_CLIENT_SECRET": config.client_secret,
            "DRCHRONO_WEBHOOK_SECRET": SECRET,
            "DRCHRONO_QUOTA": "60000/minute",
            "DRCHRONO_WRITES": "on",
            "DRCHRONO_FEED": "on",
            "SECRET_MANAGER_EMULATOR_HOST": secrets.address,
            "LOG_LEVEL": "DEBUG",
        }
        if backend == "embedded":
            told[FOLDER] = str(folder)
        system = local_system({**told})
        connect(system.cloud()).create_secret(parent=f"projects/{PROJECT}", secret_id="drchrono-oauth-token")
        source = "local/embedded_main.py" if backend == "embedded" else "main.py"
        processes = stack.enter_context(Processes(folder))
        processes.start(
            [
                Program(
                    name,
                    [
                        sys.executable,
                        "-m",
                        "functions_framework",
                        "--source",
                        source,
                        "--target",
                        name,
                        "--port",
                        f"{port}",
                    ],
                    port,
                    # The last two as in the cloud: the lines go through the framework's wrapper, each write by itself.
                    {**os.environ, **told, "THREADS": "4", "PYTHONUNBUFFERED": "1", "LOG_EXECUTION_ID": "true"},
                )
                for name, port in ports.items()
            ]
        )
        if backend == "embedded":
            stack.enter_context(Pusher(queue(folder), urls["store_record"]))
        else:
            subscribe(PROJECT, TOPIC, urls["store_record"])
            SubscriberClient().create_subscription(name=TAP, topic=f"projects/{PROJECT}/topics/{TOPIC}")
        running = Served(simulator, system, urls, folder, [])
        exercise(running)
        yield running


def exercise(running: Served) -> None:
    simulator = running.simulator
    running.job("sync")  # without a token
    authorize(running)
    for kind in ("patients", "appointments"):
        for key in sorted(simulator.truth(kind)):
            field = "first_name" if kind == "patients" else "reason"
            simulator.change(kind, key, {field: NAME}, webhook=False)
    first_filling(running)
    hostile_webhooks(running)
    # Live deliveries hold the whole record.
    simulator.configure_webhook(url=running.urls["receive_webhook"], form="live", signature="token")
    simulator.verify_webhook()
    changes_under_faults(running)
    writes(running)
    crashes(running)
    tokens(running)
    mass_deletion(running)


def authorize(running: Served) -> None:
    token = running.simulator.issue_token()
    running.system.token_refresher().adopt(
        Granted(token["access_token"], token["refresh_token"], 3600.0, token["scope"])
    )


def first_filling(running: Served) -> None:
    """One of the widest lists is refused; and the copy covered more the day before."""
    coverage = {
        "asked_at": datetime.now(timezone.utc),
        "user": "1",
        "needs": {"patients": {"share_patients": "missing"}},
        "doctors": 9,
        "seen": {"patients": 9},
    }
    running.system.documents().transact(lambda transaction: transaction.set("sync_state/coverage", coverage))
    refused = {"match": {"kind": "allergies", "wide": True}, "fault": "answer", "status": 400, "body": {"error": NAME}}
    running.simulator.faults.set([refused], replace=True)
    running.job("backfill", since="2025-06-01")
    running.job("sync")
    running.simulator.faults.set([], replace=True)


def hostile_webhooks(running: Served) -> None:
    """Every place of a delivery, signed and not."""
    signed = {"X-drchrono-signature": SECRET}
    receiver = "receive_webhook"
    chart = {"practice_group_id": 1, "object": {"id": 1, "first_name": NAME}, "receiver": {"name": NAME}}
    running.post(receiver, chart)
    running.post(receiver, chart, **{"X-drchrono-signature": NAME})
    running.post(receiver, chart, **signed, **{"X-drchrono-event": NAME})
    running.post(
        receiver, chart, **signed, **{"X-drchrono-event": "PATIENT_MODIFY", "X-drchrono-delivery": f"{NAME} 1"}
    )
    running.post(receiver, chart, **signed, **{"X-drchrono-event": "LAB_ORDER_CREATE"})
    running.post(receiver, {"object": {"id": [f"{NAME} 1"]}}, **signed, **{"X-drchrono-event": "PATIENT_MODIFY"})
    running.post(receiver, {"event": "PATIENT_MODIFY", "object_id": {"name": NAME}}, **signed)
    running.post(receiver, NAME.encode() * 100_000, **signed)
    running.post(receiver, NAME.encode(), **signed)
    running.post(receiver, b"[" * 100_000, **signed)
    for query in (f"?msg={NAME}", f"?msg=%7B{NAME}%7D", f"?{NAME}"):
        answer = requests.get(running.urls[receiver] + query, timeout=30)
        running.answers.append(answer.text)
    requests.put(running.urls[receiver], NAME, timeout=30)


def changes_under_faults(running: Served) -> None:
    simulator = running.simulator
    for number, status in enumerate((None, 400, 403, 429, 500)):
        simulator.refusal = status
        for kind, field in (("patients", "last_name"), ("appointments", "reason")):
            simulator.change(kind, fields={field: NAME})
        simulator.lock(sorted(simulator.truth("clinical_notes"))[0], locked=bool(number % 2))
        simulator.settle()
        time.sleep(0.3)  # real processes
        running.job("sync", force=True)
    simulator.refusal = None
    for fault in ("html", "truncate"):
        simulator.faults.set([{"match": {"path": "/api/"}, "fault": fault, "times": 2}], replace=True)
        simulator.change("patients", fields={"last_name": NAME})
        simulator.settle()
        running.job("sync")
    simulator.faults.set([], replace=True)
    huge, odd = sorted(simulator.truth("patients"))[-2:]
    simulator.change("patients", huge, {"nick_name": NAME * 60_000})
    simulator.change("patients", odd, {"custom_demographics": [[NAME, 2**70]], "__x__": NAME})
    # Until the cooldown after the 429 ends, events wait in the work queue.
    documents = running.system.documents()
    running.until(lambda: bool(running.job("sync")) and "__x__" in repr(documents.get(f"patients/{odd}")))
    running.job("reconcile")


def writes(running: Served) -> None:
    """Entries of the outbox: one is done, one refused here, one by DrChrono, and one answer is lost."""
    documents = running.system.outbox_documents()
    doctor = running.simulator.clinic.doctors[0]["id"]
    fields = {"gender": "", "doctor": doctor, "first_name": NAME, "nick_name": NAME}

    def add(key: str, **changes: Any) -> None:
        entry = {"kind": "patients", "action": "create", "fields": fields | changes, "requested_by": NAME}
        documents.transact(lambda transaction: transaction.set(f"outbox/{key}", entry))

    add(f"{NAME} done")
    add(f"{NAME} invalid", gender=NAME, email=[NAME])
    running.job("sync")
    running.simulator.refusal = 400
    add(f"{NAME} refused", last_name="refused")
    running.job("sync")
    running.simulator.refusal = None
    running.simulator.faults.set([{"fault": "drop_after_write", "method": "POST", "kind": "patients"}], replace=True)
    add(f"{NAME} lost", last_name="lost")
    running.job("sync")
    running.simulator.faults.set([], replace=True)
    found = {key.removeprefix(f"{NAME} "): data.get("state") for key, data in documents.query("outbox")}
    assert found == {"done": "done", "invalid": "rejected", "refused": "rejected", "lost": "unknown"}
    assert NAME in repr(documents.get(f"outbox/{NAME} refused"))


def crashes(running: Served) -> None:
    """Messages that no code expects, with and without an event in them."""
    message = {
        "message": {"data": base64.b64encode(NAME.encode()).decode(), "attributes": {"x": NAME}, "messageId": "1"}
    }
    for body in (message, {"message": {"data": NAME}}, {"message": NAME}, NAME.encode(), {NAME: NAME}):
        running.post("store_record", body, **{"Content-Type": "application/json"})
    event = {"specversion": "1.0", "id": "1", "source": "x", "type": "google.cloud.pubsub.topic.v1.messagePublished"}
    running.post("store_record", {**event, "data": NAME}, **{"Content-Type": "application/cloudevents+json"})
    running.post("run_job", {"job": NAME, "kind": NAME})
    running.post("run_job", NAME.encode())


def tokens(running: Served) -> None:
    running.job("refresh-token", force=True)
    running.job("refresh-token")
    rule = {"match": {"path": "/o/token"}, "fault": "500"}
    running.simulator.faults.set([rule], replace=True)
    running.job("refresh-token", force=True)
    running.simulator.faults.set([], replace=True)
    running.simulator.tokens.revoke_all()
    running.job("refresh-token", force=True)
    authorize(running)


def mass_deletion(running: Served) -> None:
    time.sleep(0.01)  # the pass begins after the last fetch
    for key in sorted(running.simulator.truth("patients"))[:30]:
        running.simulator.delete("patients", key, webhook=False)
    running.job("reconcile", kind="patients")
