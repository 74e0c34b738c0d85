"""The deployment as Google's APIs describe it, over real HTTP, in the form of Google's reference pages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import pytest
import requests

from ops.deployment import Google, NotSeen
from tests.drchrono.conftest import Scripted

FUNCTION = {
    "name": "projects/p/locations/us-central1/functions/run-job",
    "buildConfig": {"runtime": "python313", "entryPoint": "run_job"},
    "serviceConfig": {
        "uri": "https://run-job-abc-uc.a.run.app",
        "environmentVariables": {"DRCHRONO_QUOTA": "500/hour", "LOG_LEVEL": "INFO"},
        "secretEnvironmentVariables": [
            {"key": "DRCHRONO_CLIENT_ID", "projectId": "p", "secret": "drchrono-client-id", "version": "3"}
        ],
    },
    "state": "ACTIVE",
    "environment": "GEN_2",
}
OTHER = {"name": "projects/p/locations/us-central1/functions/somebody-elses", "state": "ACTIVE"}
JOB = {
    "name": "projects/p/locations/us-central1/jobs/drchrono-sync",
    "state": "PAUSED",
    "status": {"code": 7},
    "lastAttemptTime": "2026-03-10T12:00:00.123456Z",
}


def google(server: Scripted) -> Google:
    return Google(requests.Session(), "p", functions=server.url, scheduler=server.url)


def answering(pages: Mapping[str, dict[str, Any]], status: int = 200) -> Scripted:
    return Scripted(lambda target, headers: (status, {}, json.dumps(pages.get(target, {})).encode()))


def test_functions_are_read_with_their_settings_and_secret_versions_over_all_pages() -> None:
    path = "/v2/projects/p/locations/-/functions"
    pages: dict[str, dict[str, Any]] = {
        path: {"functions": [OTHER], "nextPageToken": "2"},
        f"{path}?pageToken=2": {"functions": [FUNCTION]},
    }
    with answering(pages) as server:
        found = google(server).deployment()
    assert set(found.functions) == {"run_job"}
    function = found.functions["run_job"]
    assert (function.region, function.state) == ("us-central1", "ACTIVE")
    assert function.url == "https://run-job-abc-uc.a.run.app"
    assert found.environment["DRCHRONO_QUOTA"] == "500/hour"
    assert found.secrets == {"DRCHRONO_CLIENT_ID": "projects/p/secrets/drchrono-client-id/versions/3"}


def test_a_project_without_functions_is_none_deployed() -> None:
    with answering({}) as server:
        assert google(server).deployment().functions == {}


def test_jobs_are_read_with_their_last_attempt() -> None:
    with answering({"/v1/projects/p/locations/us-central1/jobs": {"jobs": [JOB]}}) as server:
        (job,) = google(server).jobs("us-central1")
    assert (job.name, job.state, job.code) == ("drchrono-sync", "PAUSED", 7)
    assert job.attempted_at == datetime(2026, 3, 10, 12, 0, 0, 123456, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("status", "said"),
    [(403, "ask for roles/cloudfunctions.viewer on p"), (500, "Google answered 500")],
)
def test_an_undetermined_part_states_why(status: int, said: str) -> None:
    with answering({}, status) as server, pytest.raises(NotSeen, match=said):
        google(server).deployment()


def test_no_answer_says_so() -> None:
    with pytest.raises(NotSeen, match="Google does not answer"):
        Google(requests.Session(), "p", functions="http://127.0.0.1:9").deployment()
