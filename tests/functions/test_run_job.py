"""`run_job` over HTTP: what it accepts and answers, and that two runs exclude each other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import flask
import pytest

from functions.run_job import Jobs, handle
from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.errors import StoreUnavailable, TokenRevoked
from tests.clinic import Clinic, simulator


@pytest.fixture
def clinic(documents: Documents) -> Iterator[Clinic]:
    with simulator(form="guide") as running:
        yield Clinic(running, documents)


def jobs(clinic: Clinic) -> Jobs:
    return Jobs(
        parts=clinic.parts,
        refresh_token=lambda force: {"generation": 3, "refreshed": force},
        deadline=timedelta(minutes=14),
    )


def post(work: Jobs, body: Any, method: str = "POST") -> tuple[int, dict[str, Any]]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    with flask.Flask(__name__).test_request_context("/", method=method, data=data):
        response = handle(flask.request, work)
    return response.status_code, json.loads(response.get_data())


def test_a_backfill_answers_its_counts_and_position(clinic: Clinic) -> None:
    status, report = post(jobs(clinic), {"job": "backfill", "kind": "patients", "since": "2020-01-01"})
    assert status == 200
    assert (report["finished"], report["stopped"]) == (True, None)
    # With the patients, what belongs to them is read.
    kinds = ("patients", *KINDS["patients"].children)
    assert report["counts"]["seen"] >= sum(len(clinic.simulator.truth(kind)) for kind in kinds)
    assert report["position"]["patients"]["watermark"] is not None
    assert report["position"]["patients"]["complete_at"] is None  # a part of it: see the next test
    assert report["pending"] == 0


def test_a_kind_is_complete_with_the_sync_after_a_backfill_of_everything(clinic: Clinic) -> None:
    _, report = post(jobs(clinic), {"job": "backfill", "kind": "patients"})
    assert report["position"]["patients"]["complete_at"] is None
    clinic.later(minutes=1)
    _, report = post(jobs(clinic), {"job": "sync"})
    assert report["position"]["patients"]["complete_at"] is not None


def test_all_jobs_in_turn_make_the_copy_complete(clinic: Clinic) -> None:
    for body in ({"job": "backfill"}, {"job": "sync"}, {"job": "reconcile"}, {"job": "sync"}):
        status, report = post(jobs(clinic), body)
        assert (status, report["finished"]) == (200, True)
    assert clinic.differences() == []


def test_a_run_without_quota_answers_200_with_the_reason(clinic: Clinic) -> None:
    clinic.allowance.left = 0
    status, report = post(jobs(clinic), {"job": "backfill"})
    assert (status, report["finished"], report["stopped"]) == (200, False, "quota")
    clinic.allowance.left = 10**6
    post(jobs(clinic), {"job": "sync"})
    assert clinic.differences() == []


def test_the_last_run_of_a_job_is_kept(clinic: Clinic) -> None:
    post(jobs(clinic), {"job": "sync"})
    last = clinic.parts().leases.last("sync")
    assert last is not None
    assert (last["owner"], last["report"]["finished"]) == (None, True)


def test_a_second_run_of_the_same_job_says_that_one_is_running(clinic: Clinic) -> None:
    with clinic.parts().leases.hold("sync"):
        assert post(jobs(clinic), {"job": "sync"})[1]["stopped"] == "running"
    assert post(jobs(clinic), {"job": "sync"})[1]["stopped"] is None


@pytest.mark.parametrize(
    ("body", "allowed"),
    [
        (b"", "sync, backfill, reconcile, refresh-token"),
        (b"\xff", "sync, backfill"),
        (b"[" * 5000, "sync, backfill"),
        ([], "sync, backfill"),
        ({"job": "drop"}, "sync, backfill"),
        ({"job": ["sync"]}, "sync, backfill"),
        ({"job": "backfill", "kind": "doctors"}, "all, patients, appointments, clinical_notes"),
        ({"job": "backfill", "kind": 5}, "all, patients"),
        ({"job": "backfill", "since": "yesterday"}, "2024-01-01"),
        ({"job": "backfill", "since": 5}, "2024-01-01"),
        ({"job": "refresh-token", "force": "yes"}, "true or false"),
        ({"job": "sync", "quick": True}, "kind, since and force"),
    ],
)
def test_what_is_not_a_job_is_answered_400_with_what_is_allowed(clinic: Clinic, body: Any, allowed: str) -> None:
    status, report = post(jobs(clinic), body)
    assert (status, report["reason"]) == (400, "bad_job")
    assert allowed in report["message"]


def test_only_post_is_answered(clinic: Clinic) -> None:
    assert post(jobs(clinic), b"", method="GET")[0] == 405


def test_a_token_refresh_reports_age_and_expiry(clinic: Clinic) -> None:
    status, report = post(jobs(clinic), {"job": "refresh-token", "force": True})
    assert (status, report["token"]) == (200, {"generation": 3, "refreshed": True})


def test_a_revoked_token_is_reported_with_the_command_to_run(clinic: Clinic) -> None:
    def revoked(force: bool) -> dict[str, Any]:
        raise TokenRevoked("run python -m ops authorize")

    status, report = post(Jobs(clinic.parts, revoked, timedelta(minutes=1)), {"job": "refresh-token"})
    assert (status, report["stopped"]) == (200, "revoked")
    assert "python -m ops authorize" in report["message"]


def test_an_unavailable_store_is_answered_503(clinic: Clinic) -> None:
    class Away:
        def transact(self, work: object) -> Any:
            raise StoreUnavailable("away")

    away = Clinic(clinic.simulator, Away())  # type: ignore[arg-type]
    assert post(jobs(away), {"job": "sync"})[0] == 503
