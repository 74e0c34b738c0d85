"""Measure a write, from a program's entry to DrChrono and to the updated copy, and how a burst of writes delays events.

HTTP, the stores and the rate limiter are real. DrChrono's response time and the trigger's delay are simulated (see the
notes).

    python -m benchmarks.outbox [--quick] [--json FILE]
"""

from __future__ import annotations

import contextlib
import os
import random
import tempfile
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from google.cloud import firestore

from benchmarks.report import Report, Row, Want, percentile, program
from local.emulators import Emulators
from shared.cloud.firestore import FirestoreDocuments
from shared.documents import Documents
from shared.drchrono.client import DrChrono
from shared.drchrono.kinds import KINDS
from shared.errors import QuotaExhausted
from shared.outbox.entries import COLLECTION
from shared.outbox.work import Work, assembled
from shared.queue.work_queue import WorkQueue
from shared.rate_limit.ledger import Lane
from shared.rate_limit.limiter import RateLimiter
from shared.rate_limit.windows import parse_windows
from shared.records.store import Records
from simulator import Config, Simulator
from simulator.practice.clinic import Change
from tests.clinic import Token
from workstation.embedded_documents import EmbeddedDocuments

ANSWER_SECONDS = 0.2  # DrChrono's response time
TRIGGER_SECONDS = (0.2, 1.0)  # from a commit to the function: uniform
THREADS = 16  # two instances of eight
PER_SECOND = 2


def now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass
class Bench:
    simulator: Simulator
    documents: Documents
    quota: str
    seen: dict[str, float] = field(default_factory=dict)
    added: dict[str, float] = field(default_factory=dict)
    copied: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        limiter = RateLimiter(
            self.documents,
            parse_windows(self.quota),
            background_share=0.8,
            now=now,
            sleep=time.sleep,
            instance=uuid.uuid4().hex,
        )
        self.client = DrChrono(
            url=self.simulator.url,
            tokens=Token(self.simulator),
            limiter=limiter,
            now=now,
            sleep=time.sleep,
            random=random.random,
        )
        self.work: Work = assembled(
            entries=self.documents,
            copy=self.documents,
            apis={lane: self.client.in_lane(lane) for lane in Lane},
            records=Records(self.documents, now),
            queue=WorkQueue(self.documents, now),
            now=now,
            sleep=time.sleep,
            random=random.random,
            new_fence=lambda: uuid.uuid4().hex,
        )
        self.doctor = self.simulator.clinic.doctors[0]["id"]
        self.patients = list(self.simulator.truth("patients"))
        self.simulator.clinic.listeners.append(self._seen)
        self.simulator.faults.set([{"fault": "slow", "path": "/api/", "seconds": ANSWER_SECONDS}], replace=True)

    def _seen(self, change: Change) -> None:
        self.seen.setdefault(str(change.version.fields.get("nick_name")), time.monotonic())

    def entry(self, number: int) -> str:
        """Add one entry. Every second one is an update, each of another patient."""
        key = f"entry{number:015d}"
        entry: dict[str, object] = {"requested_by": "bench", "requested_at": now(), "kind": "patients"}
        if number % 2:
            fields: dict[str, object] = {"gender": "", "doctor": self.doctor, "last_name": key, "nick_name": key}
            entry |= {"action": "create", "fields": fields}
        else:
            patient = self.patients[number // 2 % len(self.patients)]
            entry |= {"action": "update", "id": patient, "fields": {"nick_name": key}}
        self.documents.transact(lambda transaction: transaction.set(f"{COLLECTION}/{key}", entry))
        self.added[key] = time.monotonic()
        return key

    def trigger(self, key: str) -> None:
        time.sleep(random.uniform(*TRIGGER_SECONDS))
        with contextlib.suppress(QuotaExhausted):
            sent = self.work.send(key)
            if sent.outcome == "done":
                self.copied[key] = time.monotonic()


def steady(bench: Bench, count: int) -> Row:
    with ThreadPoolExecutor(THREADS) as pool:
        for number in range(count):
            pool.submit(bench.trigger, bench.entry(number))
            time.sleep(random.expovariate(PER_SECOND))
    at_drchrono = [bench.seen[key] - begun for key, begun in bench.added.items() if key in bench.seen]
    in_copy = [bench.copied[key] - begun for key, begun in bench.added.items() if key in bench.copied]
    return {
        "entries": count,
        "done": len(in_copy),
        "DrChrono p50 s": percentile(at_drchrono, 50),
        "DrChrono p95 s": percentile(at_drchrono, 95),
        "copy p50 s": percentile(in_copy, 50),
        "copy p95 s": percentile(in_copy, 95),
    }


def burst(bench: Bench, count: int, seconds: float) -> Row:
    """Add many entries at once, and meanwhile read for an event twice a second."""
    ends = time.monotonic() + seconds
    waits: list[float] = []
    refused = 0
    with ThreadPoolExecutor(THREADS) as pool:
        for key in [bench.entry(number) for number in range(count)]:
            pool.submit(bench.trigger, key)
        while time.monotonic() < ends:
            began = time.monotonic()
            try:
                bench.client.get(KINDS["patients"], bench.patients[0])
                waits.append(time.monotonic() - began - ANSWER_SECONDS)
            except QuotaExhausted:
                refused += 1
            time.sleep(0.5)
        pool.shutdown(wait=True, cancel_futures=True)
    return {
        "burst of": count,
        "sent meanwhile": len(bench.copied),
        "events": len(waits),
        "events refused": refused,
        "event's wait p50 s": percentile(waits, 50),
        "event's wait p95 s": percentile(waits, 95),
    }


def run(store: str, documents: Documents, quota: str, work: Callable[[Bench], Row]) -> Row:
    with Simulator(Config(patients=200, seed=7)) as simulator:
        return {"store": store, **work(Bench(simulator, documents, quota))}


def measure(*, quick: bool) -> Report:
    count = 20 if quick else 120
    report = Report("outbox")
    with tempfile.TemporaryDirectory() as folder, Emulators() as emulators:
        os.environ.update(emulators.environment)
        stores: dict[str, Callable[[], Documents]] = {
            "embedded": lambda: EmbeddedDocuments(Path(folder) / f"{uuid.uuid4().hex}.sqlite3"),
            "Firestore": lambda: FirestoreDocuments(firestore.Client(project=f"bench-{uuid.uuid4().hex[:8]}")),
        }
        for name, make in stores.items():
            row = run(name, make(), "6000/minute", lambda bench: steady(bench, count))
            report.rows.append(row)
            p95 = float(row["copy p95 s"])
            report.wanted.append(Want(f"entry to the copy, p95 ({name})", "under 3 s", f"{p95:.2f} s", p95 < 3))
        size, seconds = (60, 8.0) if quick else (1000, 40.0)
        row = run("embedded", stores["embedded"](), "600/minute", lambda bench: burst(bench, size, seconds))
        report.rows.append(row)
        none = row["events refused"] == 0
        report.wanted.append(Want(f"events refused in a burst of {size}", "0", str(row["events refused"]), none))
    report.notes = [
        f"The simulator takes {ANSWER_SECONDS} s for each request; the trigger's delay is made up: "
        f"{TRIGGER_SECONDS[0]} to {TRIGGER_SECONDS[1]} s, uniform.",
        "Half of the entries create a patient, half change one. Done means that the copy has the record.",
        "The burst runs under 600 requests a minute, of which background work may use 80 %.",
    ]
    return report


if __name__ == "__main__":
    program(measure, __doc__, quick="few entries: whether it works, not how fast")
