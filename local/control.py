"""HTTP clients of the local run: the simulator's control interface, and the function `run_job`."""

from __future__ import annotations

import json
from typing import Any

import requests

# Longest time until a job answers: `JOB_DEADLINE_SECONDS`, and the page that it is storing then.
JOB_SECONDS = 900.0
CONTROL_SECONDS = 30.0


class Failed(Exception):
    """A request to another process failed. The text names the process, its answer and the remedy."""


class Control:
    """The simulator's control interface."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/control"

    def truth(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return all records of a kind by id, as in a verbose GET. Live notes are keyed by their appointment."""
        answer = requests.get(f"{self._url}/truth/{kind}", timeout=CONTROL_SECONDS)
        answer.raise_for_status()
        records = [json.loads(line) for line in answer.content.splitlines()]
        return {str(record.get("id", record.get("appointment"))): record for record in records}

    def stats(self) -> dict[str, Any]:
        answer = requests.get(f"{self._url}/stats", timeout=CONTROL_SECONDS)
        answer.raise_for_status()
        return answer.json()  # type: ignore[no-any-return]

    def do(self, action: str, /, **fields: Any) -> dict[str, Any] | None:
        """Perform a control action and return its result; None if no record fits it."""
        answer = requests.post(f"{self._url}/{action}", json=fields, timeout=CONTROL_SECONDS)
        if answer.status_code == 404:
            return None
        answer.raise_for_status()
        return answer.json()  # type: ignore[no-any-return]


def run_job(url: str, job: str) -> dict[str, Any]:
    """Start a job as Cloud Scheduler does, and wait for its report. Raises Failed."""
    answer = requests.post(url, json={"job": job}, timeout=JOB_SECONDS)
    if answer.status_code != 200:
        raise Failed(f"run_job answered {answer.status_code} to the job {job}: look into run_job.log")
    report: dict[str, Any] = answer.json()
    if report["stopped"] == "revoked":
        raise Failed(f"the job {job} stopped: {report['stopped']}. {report.get('message', '')}".strip())
    return report
