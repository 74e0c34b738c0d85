"""What one record costs in each part of storing it, and which share that is of the whole."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from google.cloud.firestore_v1.types import CommitRequest

from benchmarks.report import Row
from benchmarks.store_methods import BATCH, PATIENTS, Record, batches, documents_of, now
from shared import exact_json
from shared.cloud.firestore_calls import Writes
from shared.documents import Documents
from shared.jobs.children import lists_of
from shared.queue.work_queue import WorkQueue
from shared.records.queries import JUDGED_FIELDS
from shared.records.storable import canonical, digest_of, split

PREFIX = "projects/p/databases/(default)/documents/"
COMMIT = "commit (ready-made, with its serializing)"

# The parts that a record takes which is kept already, and those that one takes which is new.
KEPT = ("parse", "canonical text and digest", "read copies")
NEW = ("parse", "canonical text and digest", "check and measure", "encode", COMMIT)


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


def parts(records: Sequence[Record], rounds: int, documents: Documents, queue: WorkQueue) -> dict[str, Timed]:
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
        for name, part in work.items():
            timed[name].run(part, len(records))
    timed["queue entries, three for each"] = Timed()
    timed["queue entries, three for each"].run(lambda: queue.enqueue(entries), len(records))
    return timed


def part_row(name: str, parts: Mapping[str, Timed]) -> Row:
    def share(of: tuple[str, ...]) -> str:
        return f"{parts[name].microseconds / sum(parts[part].microseconds for part in of):.0%}" if name in of else ""

    micros = round(parts[name].microseconds, 1)
    return {"part": name, "CPU µs a record": micros, "share, new": share(NEW), "share, kept": share(KEPT)}
