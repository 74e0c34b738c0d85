"""The deployed functions of a project with their settings, and the jobs that call them.

Google's APIs describe them, so an operator needs only the project's name, and a command uses the same quota and secrets
as the functions. Requires roles/cloudfunctions.viewer and roles/cloudscheduler.viewer. If a role is missing, the
command names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import requests

from shared.errors import SyncError

FUNCTIONS = "https://cloudfunctions.googleapis.com"
SCHEDULER = "https://cloudscheduler.googleapis.com"
CALL_SECONDS = 15.0

ENTRY_POINTS = ("receive_webhook", "store_record", "run_job")
SEND_WRITES = "send_writes"  # deployed where a program may write


class NotSeen(SyncError):
    """Google's API does not return it. The text contains the reason and the remedy."""

    reason = "not_seen"


@dataclass(frozen=True)
class Function:
    """secrets: the full name of the secret version of each variable (`projects/p/secrets/s/versions/3`)."""

    entry_point: str
    region: str
    state: str
    url: str
    environment: Mapping[str, str]
    secrets: Mapping[str, str]


@dataclass(frozen=True)
class ScheduledJob:
    """code: gRPC status code of the last attempt; 0 is success. attempted_at: None before the first attempt."""

    name: str
    state: str
    attempted_at: datetime | None
    code: int


@dataclass(frozen=True)
class Deployment:
    """The deployed functions by entry point: some of `ENTRY_POINTS` and `SEND_WRITES`, or none before the second
    `terraform apply`.
    """

    functions: Mapping[str, Function]

    @property
    def environment(self) -> dict[str, str]:
        """The plain settings of all functions. A setting that they share has the same value everywhere."""
        merged: dict[str, str] = {}
        for function in self.functions.values():
            merged |= function.environment
        return merged

    @property
    def secrets(self) -> dict[str, str]:
        merged: dict[str, str] = {}
        for function in self.functions.values():
            merged |= function.secrets
        return merged


class Google:
    """session: adds the credentials to each request. functions, scheduler: the origins of the two APIs."""

    def __init__(
        self, session: requests.Session, project: str, *, functions: str = FUNCTIONS, scheduler: str = SCHEDULER
    ) -> None:
        self._session = session
        self._project = project
        self._functions = functions
        self._scheduler = scheduler

    def deployment(self) -> Deployment:
        """Raises NotSeen."""
        url = f"{self._functions}/v2/projects/{self._project}/locations/-/functions"
        found = [_function(item) for item in self._all(url, "functions", "roles/cloudfunctions.viewer")]
        return Deployment(
            {each.entry_point: each for each in found if each.entry_point in (*ENTRY_POINTS, SEND_WRITES)}
        )

    def jobs(self, region: str) -> list[ScheduledJob]:
        """Return the jobs whose names begin with `drchrono-`. Raises NotSeen."""
        url = f"{self._scheduler}/v1/projects/{self._project}/locations/{region}/jobs"
        found = [_job(item) for item in self._all(url, "jobs", "roles/cloudscheduler.viewer")]
        return [job for job in found if job.name.startswith("drchrono-")]

    def _all(self, url: str, key: str, role: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        page: str | None = ""
        while page is not None:
            answer = self._page(url, page, role)
            items += answer.get(key, [])
            page = answer.get("nextPageToken") or None
        return items

    def _page(self, url: str, page: str, role: str) -> dict[str, Any]:
        from google.auth.exceptions import GoogleAuthError

        what = url.rpartition("/")[2]
        try:
            answer = self._session.get(url, params={"pageToken": page} if page else {}, timeout=CALL_SECONDS)
        except GoogleAuthError:
            raise NotSeen("Google's credentials have expired: run `gcloud auth application-default login`") from None
        except requests.RequestException as error:
            raise NotSeen(f"Google does not answer ({type(error).__name__}): check the network") from None
        if answer.status_code in (401, 403):
            raise NotSeen(f"you may not see the project's {what}: ask for {role} on {self._project}")
        if answer.status_code != 200:
            raise NotSeen(f"Google answered {answer.status_code} when asked for the project's {what}: try again")
        body: dict[str, Any] = answer.json()
        return body


def _function(item: Mapping[str, Any]) -> Function:
    """cloud.google.com/functions/docs/reference/rest/v2/projects.locations.functions"""
    service = item.get("serviceConfig", {})
    return Function(
        entry_point=item.get("buildConfig", {}).get("entryPoint", ""),
        region=item["name"].split("/")[3],
        state=item.get("state", ""),
        url=service.get("uri", ""),
        environment=service.get("environmentVariables", {}),
        secrets={
            each["key"]: f"projects/{each['projectId']}/secrets/{each['secret']}/versions/{each['version']}"
            for each in service.get("secretEnvironmentVariables", [])
        },
    )


def _job(item: Mapping[str, Any]) -> ScheduledJob:
    """cloud.google.com/scheduler/docs/reference/rest/v1/projects.locations.jobs"""
    attempted = item.get("lastAttemptTime")
    return ScheduledJob(
        name=item["name"].rpartition("/")[2],
        state=item.get("state", ""),
        attempted_at=datetime.fromisoformat(attempted) if attempted else None,
        code=item.get("status", {}).get("code", 0),
    )
