"""Measure what storing a record costs, part by part, and compare it with the least possible.

Each method stores the same patients, in turn, for several rounds in one process. Other load on the machine affects all
of them, so compare ratios and not absolute figures. CPU seconds are those of this process, without the emulator.
Baselines: prepared messages that only have to be sent (the limit), and the library's `batch.set`.

    python -m benchmarks.store [--quick] [--json FILE]
"""

from __future__ import annotations

import os
import statistics
import tempfile
from pathlib import Path

from google.cloud import firestore

from benchmarks.report import Report, Row, Want, program
from benchmarks.store_methods import PAGE, Record, batches, by_system, methods, now
from benchmarks.store_parts import COMMIT, Timed, part_row, parts
from local.emulators import Emulators
from shared.cloud.firestore import FirestoreDocuments
from shared.queue.work_queue import WorkQueue
from shared.records.storable import canonical
from simulator import Config, Simulator


def patients(count: int) -> list[Record]:
    with Simulator(Config(patients=count, appointments=0, notes=0, children=0, form="live", seed=1)) as simulated:
        return list(simulated.truth("patients").values())


def measure(*, quick: bool) -> Report:
    report = Report("store")
    records = patients(300 if quick else PAGE)
    rounds = 2 if quick else 4
    with Emulators() as emulators, tempfile.TemporaryDirectory() as folder:
        os.environ.update(emulators.environment)
        warm = FirestoreDocuments(firestore.Client(project="warm"), timeout_seconds=60)
        for few in batches(records, 10):  # the emulator is slow at first
            by_system(warm, few)()
        timed: dict[str, Timed] = {}
        for _ in range(rounds):
            for name, work in methods(records, Path(folder)).items():
                timed.setdefault(name, Timed()).run(work, len(records))
        part_times = parts(records, rounds, warm, WorkQueue(warm, now))
    part_times[COMMIT] = timed["emulator: ready-made messages"]
    report.rows += [part_row(name, part_times) for name in part_times]
    limits = {"emulator": timed["emulator: ready-made messages"], "embedded": timed["embedded: ready-made rows"]}
    report.rows += [method_row(name, times, limits[name.split(":")[0]]) for name, times in timed.items()]
    checked = part_times["check and measure"].microseconds + part_times["encode"].microseconds
    ours, library = timed["emulator: this system"], timed["emulator: the library's batch.set"]
    ratio = statistics.median(slow / fast for slow, fast in zip(library.cpu, ours.cpu, strict=True))
    report.wanted += [
        Want("encoding a record with its checks", "at most 150 µs", f"{checked:.0f} µs", checked <= 150),
        Want("CPU of batch.set, of ours", "at least 3", f"{ratio:.1f}", ratio >= 3),
    ]
    size = sum(len(canonical(record)) for record in records) / len(records)
    report.notes.append(
        f"{len(records)} patients of {size / 1000:.1f} kB, {rounds} rounds, the least for each part. The shares "
        "are of the parts that a record takes which is new, and of those that one takes which is kept already."
    )
    return report


def method_row(name: str, times: Timed, limit: Timed) -> Row:
    ratios = [mine / least for mine, least in zip(times.cpu, limit.cpu, strict=True)]
    return {
        "into, how": name,
        "per cpu s": round(1 / statistics.median(times.cpu)),
        "per s": round(1 / statistics.median(times.seconds)),
        "CPU, of the limit": round(statistics.median(ratios), 2),
    }


if __name__ == "__main__":
    program(measure, __doc__, quick="fewer records and rounds")
