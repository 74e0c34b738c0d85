"""Measure a practice's first backfill: speed, memory and number of requests.

Each run and the simulator have processes of their own, so that peak memory and processor time are the run's alone. The
baseline fetches the same pages with the same client in the same run, and discards them.

    python -m benchmarks.backfill [--quick] [--json FILE]
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

from benchmarks.backfilling import measured
from benchmarks.processes import Simulated, finish, simulator, start
from benchmarks.report import Report, Row, Want, program
from local.emulators import Emulators
from shared.jobs import backfill

BURST_QUOTA = "100/minute burst 10"


def run(practice: Simulated, store: str, quota: str, kinds: Sequence[str], project: str = "") -> dict[str, float]:
    task = {"url": practice.url, "token": practice.token, "store": store, "project": project}
    figures: dict[str, float] = finish(start(measured, **task, quota=quota, kinds=list(kinds)))
    return figures


def filled(form: str, store: str, patients: int, project: str = "") -> Row:
    notes = patients // 10
    sizes = ["--patients", str(patients), "--appointments", str(patients), "--notes", str(notes), "--children", "0"]
    # A live list is ready at its first poll, five seconds after the request.
    with simulator("--form", form, "--polls", "0", *sizes) as practice:
        figures = run(practice, store, "100000/minute", backfill.KIND_NAMES, project)
        requests = int(practice.control.stats()["requests"])
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
    with simulator(
        "--form", "guide", *sizes, "--quota", "100/minute", "--limiter", "bucket", "--burst", "10"
    ) as practice:
        figures = run(practice, "embedded", BURST_QUOTA, ["clinical_notes"])
        stats = practice.control.stats()
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
        report.rows.append(filled(form, store, size))
    report.rows.append(filled("guide", "embedded", size // 10))
    with Emulators() as emulators:
        os.environ.update(emulators.environment)
        for patients in (size // 10, size):
            report.rows.append(filled("guide", "emulator", patients, project=f"backfill-{patients}"))
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
    program(measure, __doc__, quick="a tenth of the size")
