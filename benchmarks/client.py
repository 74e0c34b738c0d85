"""Measure what the client costs: read a whole practice and discard it, compared with simpler clients.

Each client runs in a process of its own, and so does the simulator. Both share the machine, so the figures are records
per second of the client's own processor time, and its peak memory. Clients take turns; the median counts.

    python -m benchmarks.client [--quick] [--json FILE]
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.client_readers import read
from benchmarks.processes import Simulated, finish, simulator, start
from benchmarks.report import Report, Row, Want, median_row, program

PATIENTS, APPOINTMENTS, NOTES = 20_000, 20_000, 2_000


def measured(reader: str, form: str, practice: Simulated) -> Row:
    figures = finish(start(read, reader=reader, url=practice.url, token=practice.token))
    return {
        "reader": reader,
        "form": form,
        "records": figures["records"],
        "records_per_cpu_second": round(figures["records"] / figures["cpu_seconds"]),
        "seconds": round(figures["seconds"], 2),
        "peak_mb": round(figures["peak_mib"], 1),
    }


def compare(form: str, readers: Sequence[str], share: float, rounds: int) -> list[Row]:
    """Return the row of each reader, for part of the practice."""
    sizes = {"--patients": PATIENTS, "--appointments": APPOINTMENTS, "--notes": NOTES}
    counts = [str(part) for name, size in sizes.items() for part in (name, int(size * share))]
    with simulator("--form", form, "--children", "0", *counts) as practice:
        measured(readers[0], form, practice)  # the simulator encodes each record only once
        turns = [[measured(reader, form, practice) for reader in readers] for _ in range(rounds)]
    return [median_row(rows) for rows in zip(*turns, strict=True)]


def judge(guide_rows: Sequence[Row], live_rows: Sequence[Row], tenths: Sequence[Row]) -> list[Want]:
    a, b, c = (float(row["records_per_cpu_second"]) for row in guide_rows)
    live_a, live_c = (float(row["records_per_cpu_second"]) for row in live_rows)
    more, live_more = (
        float(whole["peak_mb"]) - float(tenth["peak_mb"])
        for whole, tenth in zip((guide_rows[2], live_rows[1]), tenths, strict=True)
    )
    cpu, memory = "records per CPU second", "peak over that at a tenth, MB"
    return [
        Want(f"(c) / (a), {cpu}", ">= 0.5", f"{c / a:.2f}", c / a >= 0.5),
        Want(f"(c) / (b), {cpu}", "> 1", f"{c / b:.2f}", c / b > 1),
        Want(f"(c) / (a) live, {cpu}", ">= 0.5", f"{live_c / live_a:.2f}", live_c / live_a >= 0.5),
        Want(f"(c) {memory}", "<= 15", f"{more:.1f}", more <= 15),
        Want(f"(c) live {memory}", "<= 15", f"{live_more:.1f}", live_more <= 15),
    ]


def measure(*, quick: bool) -> Report:
    rounds = 1 if quick else 3
    guide_rows = compare("guide", ["(a) bare loop", "(b) guide's sample", "(c) ours"], 1, rounds)
    live_rows = compare("live", ["(a) bare loop, live", "(c) ours"], 1, rounds)
    tenths = [compare(form, ["(c) ours"], 0.1, rounds)[0] for form in ("guide", "live")]
    return Report("client", [*guide_rows, *live_rows, *tenths], judge(guide_rows, live_rows, tenths))


if __name__ == "__main__":
    program(measure, __doc__, quick="one round instead of three")
