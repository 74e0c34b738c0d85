"""Measure what the client costs: read a whole practice and discard it, compared with simpler clients.

Each client runs in a process of its own, and so does the simulator. Both share the machine, so the figures are records
per second of the client's own processor time, and its peak memory. Clients take turns; the median counts.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import requests

from shared.drchrono.client import DrChrono
from shared.drchrono.kinds import KINDS

SINCE = "2000-01-01T00:00:00"
READ = ("patients", "appointments", "clinical_notes")
PATIENTS, APPOINTMENTS, NOTES = 20_000, 20_000, 2_000


@dataclass(frozen=True)
class Row:
    reader: str
    form: str
    records: int
    records_per_cpu_second: float
    seconds: float
    peak_mb: float


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
            link = f"{url}/api/{path}?since={SINCE}&verbose=true&page_size={size}"
            while link:
                data = session.get(link).json()
                yield len(data["results"])
                link = data["next"]


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
        link = f"{url}/api/clinical_notes?since={SINCE}&verbose=true&page_size=20"
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


def read(reader: str, url: str, token: str) -> None:
    """Run one client in this process and print its figures."""
    began, cpu = time.perf_counter(), time.process_time()
    records = sum(READERS[reader](url, token))
    figures = {
        "records": records,
        "cpu_seconds": time.process_time() - cpu,
        "seconds": time.perf_counter() - began,
        # Not getrusage's peak, which includes that of the parent process.
        "peak_kb": int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0]),
    }
    sys.stderr.write(json.dumps(figures) + "\n")


@contextlib.contextmanager
def simulator(form: str, share: float) -> Iterator[tuple[str, str]]:
    """Yield origin and token of a simulator in its own process, with part of the practice."""
    sizes = {"--patients": PATIENTS, "--appointments": APPOINTMENTS, "--notes": NOTES}
    counts = [str(part) for name, size in sizes.items() for part in (name, int(size * share))]
    command = [sys.executable, "-m", "simulator", "--ready-json", "--form", form, "--children", "0", *counts]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        request = urllib.request.Request(f"{url}/control/tokens", b'{"action": "issue"}', method="POST")  # noqa: S310
        with urllib.request.urlopen(request) as answer:  # noqa: S310 (our own)
            yield url, json.load(answer)["access_token"]
    finally:
        process.terminate()
        process.wait()


def measured(reader: str, form: str, url: str, token: str) -> Row:
    command = [sys.executable, "-m", "benchmarks.client", "--read", reader, url, token]
    # Log lines are written, as in the cloud, but nobody reads them.
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=True)
    figures = json.loads(done.stderr.splitlines()[-1])
    return Row(
        reader=reader,
        form=form,
        records=figures["records"],
        records_per_cpu_second=round(figures["records"] / figures["cpu_seconds"]),
        seconds=round(figures["seconds"], 2),
        peak_mb=round(figures["peak_kb"] / 1024, 1),
    )


def median_row(rows: list[Row]) -> Row:
    return Row(
        reader=rows[0].reader,
        form=rows[0].form,
        records=rows[0].records,
        records_per_cpu_second=statistics.median(row.records_per_cpu_second for row in rows),
        seconds=statistics.median(row.seconds for row in rows),
        peak_mb=statistics.median(row.peak_mb for row in rows),
    )


def compare(form: str, readers: list[str], share: float, rounds: int) -> list[Row]:
    with simulator(form, share) as (url, token):
        measured(readers[0], form, url, token)  # the simulator encodes each record only once
        turns = [[measured(reader, form, url, token) for reader in readers] for _ in range(rounds)]
    return [median_row([turn[index] for turn in turns]) for index in range(len(readers))]


def judge(guide_rows: list[Row], live_rows: list[Row], tenths: list[Row]) -> list[dict[str, Any]]:
    a, b, c = (row.records_per_cpu_second for row in guide_rows)
    live_a, live_c = (row.records_per_cpu_second for row in live_rows)
    grown = [whole.peak_mb - tenth.peak_mb for whole, tenth in zip((guide_rows[2], live_rows[1]), tenths, strict=True)]

    def line(what: str, sign: str, bound: float, value: float) -> dict[str, Any]:
        met = value >= bound if sign == ">=" else value > bound if sign == ">" else value <= bound
        return {"what": what, "wanted": f"{sign} {bound:g}", "measured": round(value, 2), "met": met}

    return [
        line("(c) / (a), records per CPU second", ">=", 0.5, c / a),
        line("(c) / (b), records per CPU second", ">", 1.0, c / b),
        line("(c) / (a) live, records per CPU second", ">=", 0.5, live_c / live_a),
        line("(c) peak over that at a tenth, MB", "<=", 15, grown[0]),
        line("(c) live peak over that at a tenth, MB", "<=", 15, grown[1]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.client", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round instead of three")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    parser.add_argument("--read", nargs=3, metavar=("READER", "URL", "TOKEN"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        read(*arguments.read)
        return

    rounds = 1 if arguments.quick else 3
    guide_rows = compare("guide", ["(a) bare loop", "(b) guide's sample", "(c) ours"], 1, rounds)
    live_rows = compare("live", ["(a) bare loop, live", "(c) ours"], 1, rounds)
    tenths = [compare(form, ["(c) ours"], 0.1, rounds)[0] for form in ("guide", "live")]
    rows = guide_rows + live_rows + tenths

    print(f"{'reader':<22}{'form':<8}{'records':>9}{'records/CPU s':>15}{'seconds':>10}{'peak MB':>10}")
    for row in rows:
        print(
            f"{row.reader:<22}{row.form:<8}{row.records:>9}{row.records_per_cpu_second:>15.0f}"
            f"{row.seconds:>10.2f}{row.peak_mb:>10.1f}"
        )
    wanted = judge(guide_rows, live_rows, tenths)
    print(f"\n{'':<50}{'wanted':>9}{'measured':>10}")
    for line in wanted:
        print(f"{line['what']:<50}{line['wanted']:>9}{line['measured']:>10}  {'' if line['met'] else 'MISSED'}")
    if arguments.json:
        figures = [asdict(row) for row in rows]
        arguments.json.write_text(json.dumps({"name": "client", "rows": figures, "wanted": wanted}, indent=2) + "\n")


if __name__ == "__main__":
    main()
