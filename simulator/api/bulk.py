"""Bulk jobs: a uuid that is polled until its snapshot is complete, and that expires after one hour."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from threading import Lock
from typing import Any
from uuid import UUID

from simulator.clock import Clock
from simulator.config import Config
from simulator.messages import RefusedError
from simulator.practice.store import Version

PAGE_SIZE = 1000  # default and maximum
_UNKNOWN = {"detail": "Invalid uuid specified"}


@dataclass
class Job:
    """A started list. It holds the versions of the moment it was started."""

    uuid: str
    path: str
    started_at: float
    versions: Sequence[Version]
    """Of one page in the live form; of all pages in the uuid variant of the guide."""
    pagination: dict[str, int]
    verbose: bool
    whole: bool
    """Whether `versions` holds all pages."""
    polls: int = 0

    def head(self, pagination: dict[str, int]) -> bytes:
        """Return the fields before the results, as the beginning of a JSON object."""
        head: dict[str, Any] = {"status": "Complete", "pagination": pagination, "uuid": self.uuid}
        return json.dumps(head)[:-1].encode()


def slice_of(versions: Sequence[Version], page: int, page_size: int) -> tuple[Sequence[Version], dict[str, int]]:
    """Return one page and its pagination. A page past the end is empty."""
    pages = max(1, -(-len(versions) // page_size))
    found = versions[(page - 1) * page_size : page * page_size]
    return found, {"count": len(versions), "pages": pages, "page_size": page_size, "page": page}


class Bulk:
    """The bulk jobs."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self._rng = Random(f"{config.seed} bulk")
        self._lock = Lock()
        self._jobs: dict[str, Job] = {}

    def start(
        self,
        path: str,
        versions: Sequence[Version],
        pagination: dict[str, int],
        *,
        verbose: bool,
        whole: bool = False,
    ) -> Job:
        with self._lock:
            uuid = str(UUID(int=self._rng.getrandbits(128), version=4))
            now = self._clock.now()
            self._jobs = {
                key: job for key, job in self._jobs.items() if now - job.started_at < self._config.uuid_seconds
            }
            self._jobs[uuid] = Job(uuid, path, now, versions, pagination, verbose, whole)
            return self._jobs[uuid]

    def page(self, uuid: str) -> int | None:
        """Return the page number of a job that holds one page, or None."""
        job = self._jobs.get(uuid)
        return None if job is None or job.whole else job.pagination["page"]

    def poll(self, path: str, uuid: str) -> tuple[Job, bool]:
        """Return the job and whether it is complete. Raises RefusedError (404) if the uuid is unknown or expired."""
        with self._lock:
            job = self._jobs.get(uuid)
            if job is None or job.path != path or self._clock.now() - job.started_at >= self._config.uuid_seconds:
                raise RefusedError(404, _UNKNOWN)
            job.polls += 1
            made = self._clock.now() - job.started_at >= self._config.bulk_seconds
            return job, made and job.polls > self._config.polls_until_complete
