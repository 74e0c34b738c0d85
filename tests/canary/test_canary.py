"""No patient data outside the records, and every metric of Terraform is fed by a line that is really written."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import pytest
import requests

from functions.receive_webhook import handle
from functions.run_job import Jobs
from functions.run_job import handle as run_job
from shared.errors import PublishFailed, StoreUnavailable
from shared.log import log_crash
from shared.settings import WebhookSettings
from tests.canary.exercise import NAME, SECRET, Served, served
from tests.clinic import Clinic, simulator
from tests.functions.test_run_job import jobs
from tests.outbox.harness import harness

METRICS = Path(__file__).parents[2] / "terraform" / "metrics.json"


@pytest.fixture(scope="module", params=["embedded", pytest.param("emulators", marks=pytest.mark.emulator)])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    if request.param == "emulators":
        request.getfixturevalue("emulators")
    yield from served(request.param, tmp_path_factory.mktemp(request.param))


def test_the_planted_name_is_in_no_output(running: Served) -> None:
    outputs = running.outputs().items()
    assert {place: text[text.index(NAME) - 300 :][:400] for place, text in outputs if NAME in text} == {}


def test_the_planted_name_is_in_the_records(running: Served) -> None:
    """Else the search above would prove nothing."""
    documents = running.system.documents()
    assert sum(NAME in repr(data) for _, data in documents.query("patients")) > 20
    assert sum(NAME in repr(data) for _, data in documents.query("appointments")) > 20


def test_every_line_of_the_functions_is_one_of_ours(running: Served) -> None:
    """But for what the server says before the first request."""
    for name in ("receive_webhook", "store_record", "run_job"):
        text = (running.folder / f"{name}.log").read_text()
        strange = [line for line in text.splitlines() if not line.startswith(("{", "[20"))]
        assert strange == []


def forget_guards(documents: Any) -> None:
    for key, _ in list(documents.query("outbox_targets")):
        documents.transact(lambda transaction, key=key: transaction.delete(f"outbox_targets/{key}"))


@pytest.fixture
def rare(embedded: Any, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Lines of what does not happen to a system whose store is there."""

    def refuse(*_: object) -> None:
        raise PublishFailed("away")

    settings = WebhookSettings((SECRET,), "either", True)
    body = json.dumps({"event": "PATIENT_MODIFY", "object_id": 1}).encode()
    with simulator() as clinic:
        now = Clinic(clinic, embedded).now
        with flask.Flask(__name__).test_request_context(
            "/", method="POST", data=body, headers={"X-drchrono-signature": SECRET}
        ):
            handle(flask.request, settings=settings, publish=refuse, now=now)

        class Away:
            def transact(self, work: object) -> Any:
                raise StoreUnavailable("away")

        working: Jobs = jobs(Clinic(clinic, Away()))  # type: ignore[arg-type]
        with flask.Flask(__name__).test_request_context("/", method="POST", data=b'{"job": "sync"}'):
            run_job(flask.request, working)
    with harness(embedded) as at:
        # The guard goes while DrChrono acts: whoever removed it took the sender for dead.
        at.simulator.clinic.listeners.append(lambda change: forget_guards(embedded))
        at.send(at.new_patient())
    log_crash("run_job", ValueError(NAME))
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_every_metric_is_fed_by_a_line_that_holds_what_it_extracts(running: Served, rare: list[dict[str, Any]]) -> None:
    fields_of: dict[str, set[str]] = defaultdict(set)
    numbers: dict[str, set[str]] = defaultdict(set)
    for line in running.lines() + rare:
        fields_of[line["message"]] |= line.keys()
        numbers[line["message"]] |= {name for name, value in line.items() if isinstance(value, int | float)}
    wrong = {}
    for name, metric in json.loads(METRICS.read_text()).items():
        label = metric["label"]
        missing = set(metric["label_fields"]) - fields_of[label]
        if metric["value_field"] and metric["value_field"] not in numbers[label]:
            missing.add(metric["value_field"])
        if label not in fields_of:
            missing = {"no such line"}
        if missing:
            wrong[name] = missing
    assert wrong == {}


def test_one_search_by_trace_shows_the_way_of_one_change(running: Served) -> None:
    """From the webhook's line to the stored record's."""
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    key = sorted(running.simulator.truth("patients"))[0]
    body = json.dumps({"object": {"id": int(key)}}).encode()
    headers = {"X-drchrono-signature": SECRET, "X-drchrono-event": "PATIENT_MODIFY", "traceparent": trace}
    assert requests.post(running.urls["receive_webhook"], body, headers=headers, timeout=30).status_code == 204

    def labels() -> set[str]:
        name = "logging.googleapis.com/trace"
        return {line["message"] for line in running.lines() if line.get(name, "").endswith(trace.split("-")[1])}

    running.until(lambda: "event.done" in labels())
    assert labels() >= {"webhook.accepted", "api.request", "event.done"}
