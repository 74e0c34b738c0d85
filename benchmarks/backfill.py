"""Measure a practice's first backfill: speed, memory and number of requests.

Each run and the simulator have processes of their own, so that peak memory and processor time are the run's alone. The
baseline fetches the same pages with the same client in the same run, and discards them.

    python -m benchmarks.backfill [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from google.cloud import firestore

from benchmarks.report import Report, Row, Want
from local.emulators import Emulators
from shared.cloud.firestore import FirestoreDocuments
from shared.documents import Documents
from shared.drchrono.client import DrChrono
from shared.drchrono.kinds import KINDS
from shared.errors import StoreUnavailable
from shared.jobs import backfill
from shared.jobs.checkpoints import Checkpoints
from shared.jobs.leases import Leases
from shared.jobs.run import Parts, Run
from shared.jobs.seen import Seen
from shared.jobs.stopping import Stopped
from shared.queue.work_queue import WorkQueue
from shared.rate_limit.ledger import Lane
from shared.rate_limit.limiter import RateLimiter
from shared.rate_limit.windows import parse_windows
from shared.records.absence import Absences
from shared.records.coverage import Coverages
from shared.records.refresh import Refresh
from shared.records.store import Records
from shared.records.zones import Zones
from workstation.embedded_documents import EmbeddedDocuments

SINCE = date(2020, 1, 1)
START_SECONDS = 120

BURST_QUOTA = "100/minute burst 10"


class Token:
    def __init__(self, value: str) -> None:
        self._value = value

    def current(self) -> str:
        return self._value

    def rejected(self, access_token: str) -> str:
        raise AssertionError("the simulator's token does not expire within a benchmark")


def now() -> datetime:
    return datetime.now(timezone.utc)


def parts(url: str, documents: Documents, quota: str) -> Parts:
    limiter = RateLimiter(
        documents, parse_windows(quota), background_share=0.8, now=now, sleep=time.sleep, instance=str(os.getpid())
    )
    client = DrChrono(
        url=url,
        tokens=Token(_control(url, "tokens", {"action": "issue"})["access_token"]),
        limiter=limiter,
        now=now,
        sleep=time.sleep,
        random=lambda: 0.5,
        lane=Lane.BACKGROUND,
    )
    records, queue = Records(documents, now), WorkQueue(documents, now)
    absences = Absences(documents, records, queue, now)
    refresh = Refresh(api=client, records=records, queue=queue, absences=absences, now=now)
    return Parts(
        lists=client,
        events=refresh,
        children=refresh,
        records=records,
        queue=queue,
        absences=absences,
        checkpoints=Checkpoints(documents),
        leases=Leases(documents, now, lambda: str(os.getpid())),
        seen=Seen(documents),
        zones=Zones(documents),
        coverage=Coverages(documents, current_user=client.current_user, scopes=lambda: "", now=now),
        now=now,
        random=lambda: 0.5,
        overlap=True,
    )


def work(task: dict[str, Any]) -> dict[str, float]:
    """Run one process. `store` is a file, a project of the emulator, or empty for the baseline."""
    store = task["store"]
    with tempfile.TemporaryDirectory() as folder:
        documents: Documents = EmbeddedDocuments(Path(folder) / "store.sqlite3")
        if store == "emulator":
            documents = FirestoreDocuments(firestore.Client(project=task["project"]))
        working = parts(task["url"], documents, task["quota"])
        gc.freeze()  # as the system does before its first job
        began, cpu = time.perf_counter(), time.process_time()
        shown = _throw_away(working) if store == "nothing" else _backfill(working, task["kinds"])
        figures = {
            "shown": shown,
            "seconds": time.perf_counter() - began,
            "cpu": time.process_time() - cpu,
            "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }
        kept = sum(working.records.count(KINDS[kind]) for kind in task["kinds"])
        return {**figures, "records": shown if store == "nothing" else kept}


def _backfill(working: Parts, kinds: list[str]) -> int:
    backfill.start(working, tuple(kinds), SINCE)
    seen = 0
    while any(working.checkpoints.get(kind).backfill is not None for kind in kinds):
        run = Run(working, deadline=now() + timedelta(hours=1))
        try:
            backfill.go_on(run)
        except (Stopped, StoreUnavailable):  # an emulator on a busy machine may miss a deadline; the next run continues
            time.sleep(0.05)  # the next run starts at once
        seen += run.counts["seen"]
    return seen


def _throw_away(working: Parts) -> int:
    records = 0
    for name in backfill.KIND_NAMES:
        kind = KINDS[name]
        pages = working.lists.list_changed(kind, since=f"{SINCE}T00:00:00")
        records += sum(len(page.records) for page in pages)
    return records


def _control(url: str, path: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(f"{url}/control/{path}", data=data), timeout=60) as answer:  # noqa: S310 (loopback)
        return json.load(answer)


@contextmanager
def simulator(*options: str) -> Iterator[str]:
    command = [sys.executable, "-m", "simulator", "--ready-json", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()


def in_a_process(**task: Any) -> dict[str, float]:
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.backfill", "--task", json.dumps(task)],
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(ran.stdout.splitlines()[-1]))


def filling(form: str, store: str, patients: int, project: str = "") -> Row:
    notes = patients // 10
    sizes = ["--patients", str(patients), "--appointments", str(patients), "--notes", str(notes), "--children", "0"]
    # A live list is ready at its first poll, five seconds after the request.
    with simulator("--form", form, "--polls", "0", *sizes) as url:
        figures = in_a_process(
            url=url, store=store, project=project, quota="100000/minute", kinds=list(backfill.KIND_NAMES)
        )
        requests = int(_control(url, "stats")["requests"])
    pages = 2 * math.ceil(patients / 1000) + math.ceil(notes / (1000 if form == "live" else 20))
    return {
        "form": form,
        "into": store,
        "records": int(figures["records"]),
        "shown": int(figures["shown"]),
        "per s": round(figures["records"] / figures["seconds"]),
        "per cpu s": round(figures["records"] / figures["cpu"]),
        "peak MB": round(figures["memory"]),
        "requests": requests,
        "pages": pages,
    }


def throttled(pages: int) -> Row:
    """Fetch only clinical notes, 20 a page, at 100 requests a minute in bursts of at most 10, in real time."""
    sizes = ["--patients", "500", "--appointments", str(pages * 30), "--notes", str(pages * 20), "--children", "0"]
    with simulator("--form", "guide", *sizes, "--quota", "100/minute", "--limiter", "bucket", "--burst", "10") as url:
        figures = in_a_process(url=url, store="embedded", quota=BURST_QUOTA, kinds=["clinical_notes"])
        stats = _control(url, "stats")
    least = (int(stats["requests"]) - 10) / (100 / 60)
    return {
        "100 a minute, burst 10": f"{int(figures['records'])} notes",
        "requests": int(stats["requests"]),
        "seconds": round(figures["seconds"], 1),
        "least possible": round(least, 1),
        "429s": int(stats["throttled"]),
    }


def _of_store(rows: list[Row], store: str, least: int) -> list[Want]:
    """Return the targets of a backfill in the guide's form, and of its memory compared with a tenth of the size."""
    ours = [row for row in rows if (row.get("form"), row.get("into")) == ("guide", store)]
    small, large = sorted(ours, key=lambda row: float(row["records"]))
    speed, more = float(large["per cpu s"]), float(large["peak MB"]) - float(small["peak MB"])
    return [
        Want(f"into the {store} store, records a CPU second", f"at least {least:,}", f"{speed:,.0f}", speed >= least),
        Want(f"{store}: peak memory beside a tenth of the size", "at most 15 MB more", f"{more:+.0f} MB", more <= 15),
    ]


def measure(*, quick: bool) -> Report:
    report = Report("backfill")
    size = 2_000 if quick else 20_000
    for form, store in (("guide", "nothing"), ("guide", "embedded"), ("live", "embedded")):
        report.rows.append(filling(form, store, size))
    report.rows.append(filling("guide", "embedded", size // 10))
    with Emulators() as emulators:
        os.environ.update(emulators.environment)
        for patients in (size // 10, size):
            report.rows.append(filling("guide", "emulator", patients, project=f"backfill-{patients}"))
    paced = throttled(35 if quick else 140)
    report.rows.append(paced)
    if not quick:  # a tenth of it is less than a page
        report.wanted += [*_of_store(report.rows, "embedded", 6_000), *_of_store(report.rows, "emulator", 2_500)]
    report.wanted += [
        Want(
            "seconds for 140 pages at 100 a minute, burst 10",
            "at most 82" if not quick else "at most 19",
            str(paced["seconds"]),
            float(paced["seconds"]) <= (19 if quick else 82),
        ),
        Want("429s", "0", str(paced["429s"]), paced["429s"] == 0),
    ]
    report.notes.append("shown: with those that a second list shows again. The other figures count each record once.")
    report.notes.append(
        "pages: the least number of requests (1,000 records a page, 20 notes a page, at least one for each window of "
        "appointments). Live, each page of a bulk list is a POST and a poll, with a pause of two seconds between them."
    )
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the size")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        lines = io.StringIO()
        with contextlib.redirect_stdout(lines):  # the system's log lines
            done = work(json.loads(arguments.task))
        print(json.dumps(done))
    else:
        measure(quick=arguments.quick).show(arguments.json)
