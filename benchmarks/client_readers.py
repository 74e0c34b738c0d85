"""The clients that the client benchmark compares. Each reads a whole practice and discards it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any

import requests

from benchmarks.processes import peak_mib
from shared.drchrono.client import DrChrono
from shared.drchrono.kinds import KINDS

SINCE = "2000-01-01T00:00:00"
READ = ("patients", "appointments", "clinical_notes")


class Open:
    """Tokens and a rate limiter that never refuse."""

    def __init__(self, token: str) -> None:
        self._token = token

    def current(self) -> str:
        return self._token

    def rejected(self, access_token: str) -> str:
        return self._token

    def acquire(self, lane: object) -> None: ...

    def throttled(self, until: datetime) -> None: ...


def ours(url: str, token: str) -> Iterator[int]:
    client = DrChrono(
        url=url,
        tokens=Open(token),
        limiter=Open(token),
        now=lambda: datetime.now(timezone.utc),
        sleep=lambda seconds: None,  # the simulator's lists are ready at the second poll
        random=lambda: 0.5,
    )
    for kind in READ:
        for page in client.list_changed(KINDS[kind], since=SINCE):
            yield len(page.records)


def bare(url: str, token: str) -> Iterator[int]:
    """A loop that only requests and parses: no limits, no error handling, no retries, no check of hosts."""
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {token}"
        for path, size in (("patients_list", 1000), ("appointments_list", 1000), ("clinical_notes", 20)):
            yield from _pages(session, f"{url}/api/{path}?since={SINCE}&verbose=true&page_size={size}")


def bare_live(url: str, token: str) -> Iterator[int]:
    """The same loop for the live service's lists: a POST and polls for each page."""
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {token}"
        for path in ("patients_list", "appointments_list"):
            page, pages = 1, 1
            while page <= pages:
                query = f"since={SINCE[:10]}&verbose=true&page_size=1000&page={page}"
                uuid = session.post(f"{url}/api/{path}?{query}").json()["uuid"]
                data: dict[str, Any] = {}
                while data.get("status") != "Complete":
                    data = session.get(f"{url}/api/{path}?uuid={uuid}").json()
                yield len(data["results"])
                page, pages = page + 1, data["pagination"]["pages"]
        yield from _pages(session, f"{url}/api/clinical_notes?since={SINCE}&verbose=true&page_size=20")


def _pages(session: requests.Session, link: str | None) -> Iterator[int]:
    while link:
        data = session.get(link).json()
        yield len(data["results"])
        link = data["next"]


def guide(url: str, token: str) -> Iterator[int]:
    """The guide's `fetchBulkResults` and `drchronoRequest`, translated line by line into Python."""

    def drchrono_request(link: str) -> requests.Response:
        response = requests.get(link, headers={"Authorization": f"Bearer {token}"})  # noqa: S113 (as it stands there)
        if response.status_code == 429:
            time.sleep(int(response.headers.get("Retry-After", "60")))
            return drchrono_request(link)
        return response

    def fetch_bulk_results(endpoint: str) -> list[Any]:
        data = drchrono_request(f"{url}/api/{endpoint}?since={SINCE}").json()
        all_results = data["results"]
        next_url = data["next"]
        while next_url:
            page_data = drchrono_request(next_url).json()
            all_results = all_results + page_data["results"]
            next_url = page_data["next"]
        return all_results  # type: ignore[no-any-return]

    for endpoint in ("patients_list", "appointments_list", "clinical_notes"):
        yield len(fetch_bulk_results(endpoint))


READERS: dict[str, Callable[[str, str], Iterator[int]]] = {
    "(a) bare loop": bare,
    "(b) guide's sample": guide,
    "(c) ours": ours,
    "(a) bare loop, live": bare_live,
}


def read(reader: str, url: str, token: str) -> dict[str, float]:
    """Run one client in this process, and return its figures."""
    began, cpu = time.perf_counter(), time.process_time()
    records = sum(READERS[reader](url, token))
    return {
        "records": records,
        "cpu_seconds": time.process_time() - cpu,
        "seconds": time.perf_counter() - began,
        "peak_mib": peak_mib(),
    }
