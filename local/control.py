"""What the local run asks of the others over HTTP: the simulator's control interface, and the function `run_job`."""

from __future__ import annotations

import json
from typing import Any

import requests

# A job may work this long before it answers (`JOB_DEADLINE_SECONDS`, and the page that it is in).
JOB_SECONDS = 900.0
CONTROL_SECONDS = 30.0


class Failed(Exception):
    """Somebody did not do what was asked: who, what it answered, what to do."""


class Control:
    """The simulator's control interface."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/control"

    def truth(self, kind: str) -> dict[str, dict[str, Any]]:
        """All records of a kind by id, as a verbose GET would show them. Live notes go by their appointment."""
        answer = requests.get(f"{self._url}/truth/{kind}", timeout=CONTROL_SECONDS)
        answer.raise_for_status()
        records = [json.loads(line) for line in answer.content.splitlines()]
        return {str(record.get("id", record.get("appointment"))): record for record in records}

    def stats(self) -> dict[str, Any]:
        answer = requests.get(f"{self._url}/stats", timeout=CONTROL_SECONDS)
        answer.raise_for_status()
        return answer.json()  # type: ignore[no-any-return]

    def do(self, deed: str, **fields: Any) -> dict[str, Any] | None:
        """What was done, or None where there is no record that it could be done to."""
        answer = requests.post(f"{self._url}/{deed}", json=fields, timeout=CONTROL_SECONDS)
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        return answer.json()  # type: ignore[no-any-return]


def run_job(url: str, job: str, **more: str) -> dict[str, Any]:
    """Start a job as Cloud Scheduler does, and wait for its report. Raises Failed."""
    answer = requests.post(url, json={"job": job, **more}, timeout=JOB_SECONDS)
    if answer.status_code != 200:
        raise Failed(f"run_job answered {answer.status_code} to the job {job}: look into run_job.log")
    report: dict[str, Any] = answer.json()
    if report["stopped"] == "revoked":
        raise Failed(f"the job {job} stopped: {report['stopped']}. {report.get('message', '')}".strip())
    return report
