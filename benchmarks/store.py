"""Measure what storing a record costs, part by part, and compare it with the least possible.

Each method stores the same patients, in turn, for several rounds in one process. Other load on the machine affects all
of them, so compare ratios and not absolute figures. CPU seconds are those of this process, without the emulator.
Baselines: prepared messages that only have to be sent (the limit), and the library's `batch.set`.

    python -m benchmarks.store [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

from google.cloud import firestore
from google.cloud.firestore_v1.types import CommitRequest

from benchmarks.report import Report, Row, Want
from local.emulators import Emulators
from shared import exact_json
from shared.cloud.firestore import FirestoreDocuments
from shared.cloud.firestore_calls import Calls, Writes, call_options, translated
from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.jobs.children import lists_of
from shared.queue.work_queue import WorkQueue
from shared.records.prepared import Prepared, chunks, prepare_all
from shared.records.queries import JUDGED_FIELDS
from shared.records.storable import META, canonical, digest_of, split
from shared.records.store import Records, Source
from simulator import Config, Simulator
from workstation.embedded_documents import EmbeddedDocuments

PATIENTS = KINDS["patients"]
PAGE = 1000  # records, as in DrChrono's bulk lists
BATCH = 500  # documents, as users of the library choose
PREFIX = "projects/p/databases/(default)/documents/"

Stored = dict[str, Any]
T = TypeVar("T")


def now() -> datetime:
    return datetime.now(timezone.utc)


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


@dataclass
class Timed:
    """seconds, cpu: for one record, of each round."""

    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def run(self, work: Callable[[], object], records: int) -> None:
        began, cpu = time.perf_counter(), time.process_time()
        work()
        self.cpu.append((time.process_time() - cpu) / records)
        self.seconds.append((time.perf_counter() - began) / records)

    @property
    def microseconds(self) -> float:
        """CPU time of the fastest round, since other load only adds to it."""
        return min(self.cpu) * 1e6


def made(patients: int) -> list[Stored]:
    with Simulator(Config(patients=patients, appointments=0, notes=0, children=0, form="live", seed=1)) as simulated:
        return list(simulated.truth("patients").values())


def documents_of(records: Sequence[Stored]) -> list[tuple[Prepared, Stored]]:
    """Return the documents that the system writes for these records."""
    at = now()
    meta: Stored = {"fetched_at": at, "stored_at": at, "events_until": at, "received_at": None, "source": "backfill"}
    meta |= {"event": None, "deleted": False, "deleted_reason": None, "deliveries": []}
    prepared, _ = prepare_all(PATIENTS, records)
    return [(one, one.document(meta, {})) for one in prepared.values()]


def parts(records: Sequence[Stored], rounds: int, documents: Documents, queue: WorkQueue) -> dict[str, Timed]:
    """Return what one record costs in each part. `documents` already holds these records."""
    page = json.dumps({"results": records}).encode()
    texts = [canonical(record) for record in records]
    ready = documents_of(records)
    paths = [one.path for one, _ in ready]
    entries = lists_of([f"{uuid.uuid4().hex[:8]}{number}" for number in range(len(records))], now(), PATIENTS.children)

    def encode() -> list[Writes]:
        made = []
        for batch in batches(ready, BATCH):
            made.append(Writes(CommitRequest.pb()(), PREFIX))
            for one, document in batch:
                made[-1].set(one.path, document)
        return made

    encoded = encode()
    work: dict[str, Callable[[], object]] = {
        "parse": lambda: exact_json.loads(page),
        "canonical text and digest": lambda: [digest_of(canonical(record)) for record in records],
        "  of it the digest": lambda: [digest_of(text) for text in texts],
        "check and measure": lambda: [split(record) for record in records],
        "encode": encode,
        "serialize": lambda: [writes.request.SerializeToString() for writes in encoded],
        "read copies": lambda: [documents.get_all(batch, JUDGED_FIELDS) for batch in batches(paths, BATCH)],
    }
    timed = {name: Timed() for name in work}
    for _ in range(rounds):
        for name, deed in work.items():
            timed[name].run(deed, len(records))
    timed["queue entries, three for each"] = Timed()
    timed["queue entries, three for each"].run(lambda: queue.enqueue(entries), len(records))
    return timed


def by_system(documents: Documents, records: Sequence[Stored]) -> Callable[[], object]:
    def work() -> None:
        storing = Records(documents, now)
        for page in batches(records, PAGE):
            result = storing.pages.store(PATIENTS, page, now(), Source("backfill"))
            assert len(result.keys) == len(page)
            assert not result.failed

    return work


def ready_made(client: firestore.Client, records: Sequence[Stored]) -> Callable[[], object]:
    """The system's commits, prepared in advance."""
    calls = Calls(client, call_options(60))
    ready = documents_of(records)
    documents = {one.path: document for one, document in ready}
    commits = []
    for chunk in chunks(one for one, _ in ready):
        commits.append(calls.writes())
        for one in chunk:
            commits[-1].set(one.path, documents[one.path])

    def work() -> None:
        with translated():
            FirestoreDocuments(client).each(calls.commit, commits)

    return work


def by_library(client: firestore.Client, records: Sequence[Stored]) -> Callable[[], object]:
    ready = documents_of(records)

    def work() -> None:
        for some in batches(ready, BATCH):
            batch = client.batch()
            for one, document in some:
                batch.set(client.document(one.path), document)
            batch.commit(timeout=60)

    return work


def rows_only(file: Path, records: Sequence[Stored]) -> Callable[[], object]:
    """Write prepared texts into the embedded store's table."""
    store = EmbeddedDocuments(file)
    texts = [("patients", one.key, json.dumps({**one.parts.native, META: None})) for one, _ in documents_of(records)]

    def work() -> None:
        with store._connection() as connection:
            for some in batches(texts, BATCH):
                connection.execute("begin immediate")
                connection.executemany("insert into documents values (?, ?, ?)", some)
                connection.execute("commit")

    return work


def ways(records: Sequence[Stored], folder: Path) -> dict[str, Callable[[], object]]:
    """Return the methods, each with an empty store of its own."""

    def project() -> firestore.Client:
        return firestore.Client(project=f"bench-{uuid.uuid4().hex[:8]}")

    def file() -> Path:
        return folder / f"{uuid.uuid4().hex}.sqlite3"

    return {
        "emulator: ready-made messages": ready_made(project(), records),
        "emulator: this system": by_system(FirestoreDocuments(project()), records),
        "emulator: the library's batch.set": by_library(project(), records),
        "embedded: ready-made rows": rows_only(file(), records),
        "embedded: this system": by_system(EmbeddedDocuments(file()), records),
    }


def measure(*, quick: bool) -> Report:
    report = Report("store")
    records = made(300 if quick else PAGE)
    rounds = 2 if quick else 4
    with Emulators() as emulators, tempfile.TemporaryDirectory() as folder:
        os.environ.update(emulators.environment)
        warm = FirestoreDocuments(firestore.Client(project="warm"), timeout_seconds=60)
        for few in batches(records, 10):  # the emulator is slow at first
            by_system(warm, few)()
        timed: dict[str, Timed] = {}
        for _ in range(rounds):
            for name, work in ways(records, Path(folder)).items():
                timed.setdefault(name, Timed()).run(work, len(records))
        spent = parts(records, rounds, warm, WorkQueue(warm, now))
    spent["commit (ready-made, with its serializing)"] = timed["emulator: ready-made messages"]
    report.rows += [_part(name, one, spent) for name, one in spent.items()]
    limits = {"emulator": timed["emulator: ready-made messages"], "embedded": timed["embedded: ready-made rows"]}
    report.rows += [_way(name, one, limits[name.split(":")[0]]) for name, one in timed.items()]
    checked = spent["check and measure"].microseconds + spent["encode"].microseconds
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


KEPT = ("parse", "canonical text and digest", "read copies")
FILLING = (
    *KEPT[:2],
    "check and measure",
    "encode",
    "commit (ready-made, with its serializing)",
)


def _part(name: str, one: Timed, spent: dict[str, Timed]) -> Row:
    def share(of: tuple[str, ...]) -> str:
        return f"{one.microseconds / sum(spent[part].microseconds for part in of):.0%}" if name in of else ""

    micros = round(one.microseconds, 1)
    return {"part": name, "CPU µs a record": micros, "share, new": share(FILLING), "share, kept": share(KEPT)}


def _way(name: str, one: Timed, limit: Timed) -> Row:
    ratios = [mine / least for mine, least in zip(one.cpu, limit.cpu, strict=True)]
    return {
        "into, how": name,
        "per cpu s": round(1 / statistics.median(one.cpu)),
        "per s": round(1 / statistics.median(one.seconds)),
        "CPU, of the limit": round(statistics.median(ratios), 2),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer records and rounds")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    measure(quick=arguments.quick).show(arguments.json)
