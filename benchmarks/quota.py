"""Measure how instances share one quota: 20 workers in 4 processes against the simulator's limiters, in real time.

    python -m benchmarks.quota [--quick] [--store embedded|firestore] [--json FILE]

Baselines in the same run: `each alone` sends until DrChrono refuses, then waits as long as stated (the guide's code).
`one by one` counts every request in its own transaction.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from local.emulators import Emulators
from shared.documents import Data, Documents, Snapshot, Transaction, Where
from shared.errors import QuotaExhausted, StoreUnavailable
from shared.rate_limit.ledger import Lane
from shared.rate_limit.limiter import RateLimiter
from shared.rate_limit.windows import Window, parse_windows
from simulator import Config, Simulator
from simulator.quota import Limiter
from workstation.embedded_documents import EmbeddedDocuments

T = TypeVar("T")
Item = TypeVar("Item")

PROCESSES = 4
THREADS = 5
LIVE_PER_SECOND = 0.25  # 15 a minute; the reserve for live events is 20


@dataclass(frozen=True)
class Task:
    """The work of one process. `store` is a file of the embedded store or a project of the Firestore emulator."""

    instance: str
    gate: str
    url: str
    token: str
    store: str
    quota: str
    seconds: float
    threads: int = THREADS
    skew_seconds: float = 0.0
    live_per_second: float = 0.0


@dataclass
class Result:
    """`waits`: seconds from each live event to its request."""

    sent: int = 0
    refused: int = 0
    transactions: int = 0
    waits: list[float] = field(default_factory=list)


class Gate(Protocol):
    def acquire(self, lane: Lane) -> None: ...

    def throttled(self, until: datetime) -> None: ...


class EachAlone:
    """No shared count: a refused process waits as long as stated and knows nothing of the others."""

    def __init__(self) -> None:
        self._until = datetime.min.replace(tzinfo=timezone.utc)

    def acquire(self, lane: Lane) -> None:
        if datetime.now(timezone.utc) < self._until:
            raise QuotaExhausted(self._until)

    def throttled(self, until: datetime) -> None:
        self._until = until


class OneByOne:
    """One transaction per request, on a shared counter per minute; no lanes."""

    def __init__(self, documents: Documents, window: Window) -> None:
        self._documents = documents
        self._window = window

    def acquire(self, lane: Lane) -> None:
        number, _ = divmod(time.time(), self._window.seconds)

        def work(transaction: Transaction) -> bool:
            stored = transaction.get("sync_state/counter")
            used = stored["used"] if stored is not None and stored["number"] == number else 0
            if used < self._window.limit:
                transaction.set("sync_state/counter", {"number": number, "used": used + 1})
            return bool(used < self._window.limit)

        if not self._documents.transact(work):
            end = (number + 1) * self._window.seconds
            raise QuotaExhausted(datetime.fromtimestamp(end, timezone.utc))

    def throttled(self, until: datetime) -> None:
        pass


class Counted:
    """A store that counts transactions."""

    def __init__(self, documents: Documents, result: Result) -> None:
        self._documents = documents
        self._result = result

    def get(self, path: str) -> Data | None:
        return self._documents.get(path)

    def snapshot(self, path: str) -> Snapshot:
        return self._documents.snapshot(path)

    def get_all(self, paths: Sequence[str], fields: Sequence[str] = ()) -> dict[str, Data]:
        return self._documents.get_all(paths, fields)

    def transact(self, work: Callable[[Transaction], T]) -> T:
        self._result.transactions += 1
        return self._documents.transact(work)

    def each(self, work: Callable[[Item], T], items: Iterable[Item]) -> list[T]:
        return self._documents.each(work, items)

    def query(self, collection: str, where: Sequence[Where] = (), **rest: Any) -> Iterator[tuple[str, Data]]:
        return self._documents.query(collection, where, **rest)

    def count(self, collection: str, where: Sequence[Where] = ()) -> int:
        return self._documents.count(collection, where)


def open_gate(task: Task, result: Result) -> Gate:
    if task.gate == "each alone":
        return EachAlone()
    documents = Counted(_open(task.store), result)
    windows = parse_windows(task.quota)
    if task.gate == "one by one":
        return OneByOne(documents, windows[0])
    skew = timedelta(seconds=task.skew_seconds)
    return RateLimiter(
        documents,
        windows,
        background_share=0.8,
        now=lambda: datetime.now(timezone.utc) + skew,
        sleep=time.sleep,
        instance=task.instance,
    )


def _open(store: str) -> Documents:
    if store.endswith(".sqlite3"):
        return EmbeddedDocuments(Path(store))
    from google.cloud import firestore

    from shared.cloud.firestore import FirestoreDocuments

    return FirestoreDocuments(firestore.Client(project=store))


class Sender:
    """Sends requests on one persistent connection per thread."""

    def __init__(self, task: Task, gate: Gate, result: Result, end: float) -> None:
        self._address = urlsplit(task.url).netloc
        self._headers = {"Authorization": f"Bearer {task.token}"}
        self._skew_seconds = task.skew_seconds
        self._gate = gate
        self._result = result
        self._end = end
        self._threads = threading.local()
        self._lock = threading.Lock()

    def work(self) -> None:
        """Run a backfill: send as much as is permitted."""
        while time.time() < self._end:
            self._one(Lane.BACKGROUND)

    def live(self) -> None:
        """Handle one live event, and record how long it waited."""
        came = time.time()
        while time.time() < self._end:
            if self._one(Lane.LIVE):
                with self._lock:
                    self._result.waits.append(time.time() - came)
                return
        with self._lock:
            self._result.waits.append(time.time() - came)

    def _one(self, lane: Lane) -> bool:
        try:
            self._gate.acquire(lane)
        except StoreUnavailable:
            time.sleep(1.0)
            return False
        except QuotaExhausted as exhausted:
            wait = exhausted.until.timestamp() - self._skew_seconds - time.time()
            time.sleep(max(0.01, min(wait, self._end - time.time(), 1.0 if lane is Lane.LIVE else 3600.0)))
            return False
        status, wait = self._send()
        with self._lock:
            self._result.sent += 1
            self._result.refused += status == 429
        if status == 429:
            self._gate.throttled(datetime.fromtimestamp(time.time() + wait + self._skew_seconds, timezone.utc))
        return status == 200

    def _send(self) -> tuple[int, float]:
        connection = getattr(self._threads, "connection", None)
        if connection is None:
            connection = self._threads.connection = http.client.HTTPConnection(self._address, timeout=30)
        connection.request("GET", "/api/doctors", headers=self._headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status, float(answer.headers.get("Retry-After", 0))


def work(task: Task) -> Result:
    """Run one process."""
    result = Result()
    end = time.time() + task.seconds
    sender = Sender(task, open_gate(task, result), result, end)
    threads = [threading.Thread(target=sender.work) for _ in range(task.threads)]
    for thread in threads:
        thread.start()
    if task.live_per_second:
        with ThreadPoolExecutor(20) as pool:
            rng = random.Random(task.instance)
            while time.time() + (pause := rng.expovariate(task.live_per_second)) < end:
                time.sleep(pause)
                pool.submit(sender.live)
    for thread in threads:
        thread.join()
    return result


def start(task: Task) -> subprocess.Popen[str]:
    """Run `work` in a new process; its last line of output is the result."""
    command = [sys.executable, "-m", "benchmarks.quota", "--task", json.dumps(asdict(task))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent)


def finish(process: subprocess.Popen[str]) -> Result:
    output, _ = process.communicate()
    return Result(**json.loads(output.splitlines()[-1]))


@dataclass(frozen=True)
class Case:
    """`live`: whether live events arrive during the backfill."""

    quota: str
    limiter: Limiter
    gate: str
    windows: int
    live: bool = False


def measure(case: Case, store: str) -> dict[str, Any]:
    """Return the row of one case. `used` is relative to what a sliding window admits in that time."""
    window = parse_windows(case.quota)[0]
    seconds = case.windows * window.seconds
    with Simulator(Config(patients=5, quota=case.quota, limiter=case.limiter)) as simulator:
        token = simulator.issue_token()["access_token"]
        processes = [
            start(
                Task(
                    instance=f"{case.gate} {number}",
                    gate=case.gate,
                    url=simulator.url,
                    token=token,
                    store=store,
                    quota=case.quota,
                    seconds=seconds,
                    live_per_second=LIVE_PER_SECOND / PROCESSES if case.live else 0.0,
                )
            )
            for number in range(PROCESSES)
        ]
        while not simulator.stats()["requests"]:
            time.sleep(0.01)
        time.sleep(case.windows * window.seconds - 1.0)
        passed = simulator.stats()["by_status"]["200"]
        results = [finish(process) for process in processes]
    waits = sorted(wait for result in results for wait in result.waits)
    return {
        "gate": case.gate,
        "quota": case.quota,
        "limiter": case.limiter,
        "live": len(waits),
        "used": round(passed / (window.limit * case.windows), 3),
        "refused": sum(result.refused for result in results),
        "transactions": round(sum(result.transactions for result in results) / seconds, 2),
        "live_p95": round(waits[int(len(waits) * 0.95)], 2) if waits else None,
    }


def cases(quick: bool) -> list[Case]:
    fast, windows = "3000/minute", 2 if quick else 3
    limiters: list[Limiter] = ["sliding"] if quick else ["fixed", "sliding", "bucket"]
    return [
        *(Case(fast, limiter, "shared", windows) for limiter in limiters),
        Case("100/minute", "sliding", "shared", windows, live=True),
        Case(fast, "sliding", "one by one", windows),
        Case("100/minute", "sliding", "each alone", windows, live=True),
    ]


def wanted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    ours = [row for row in rows if row["gate"] == "shared"]
    saturated = [row for row in ours if not row["live"]]
    live_p95 = max(row["live_p95"] for row in ours if row["live"])
    refused = sum(row["refused"] for row in ours)
    used = min(row["used"] for row in saturated)
    transactions = max(row["transactions"] for row in ours)
    found = [
        ("refused (429)", "0", refused, refused == 0),
        ("share of the quota used", ">= 0.95", used, used >= 0.95),
        ("transactions per second", "<= 2", transactions, transactions <= 2),
        ("p95 wait of live, 100/minute", "< 2 s", live_p95, live_p95 < 2),
    ]
    return [{"what": what, "wanted": aim, "measured": got, "met": met} for what, aim, got, met in found]


def show(rows: list[dict[str, Any]], wants: list[dict[str, Any]]) -> None:
    print(f"{'gate':<11} {'quota':<12} {'limiter':<8} {'used':>6} {'429s':>5} {'tx/s':>6} {'live':>5} {'live p95':>9}")
    for row in rows:
        p95 = "-" if row["live_p95"] is None else f"{row['live_p95']:.2f} s"
        print(
            f"{row['gate']:<11} {row['quota']:<12} {row['limiter']:<8} {row['used']:>6.1%} {row['refused']:>5}"
            f" {row['transactions']:>6.2f} {row['live']:>5} {p95:>9}"
        )
    for want in wants:
        print(f"{'met' if want['met'] else 'MISSED':<7} {want['what']}: {want['measured']} (wanted {want['wanted']})")


@contextmanager
def stores(name: str) -> Iterator[Callable[[], str]]:
    """Yield a function that makes a new store for each case."""
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        if name == "firestore":
            os.environ.update(stack.enter_context(Emulators()).environment)
            yield lambda: f"quota-{uuid.uuid4().hex[:8]}"
        else:
            yield lambda: f"{folder}/{uuid.uuid4().hex[:8]}.sqlite3"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one limiter, two windows per case")
    parser.add_argument("--store", choices=["embedded", "firestore"], default="firestore")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        print(json.dumps(asdict(work(Task(**json.loads(arguments.task))))))
        return
    # The processes wait for most of each minute, so two cases at a time hardly disturb each other.
    with stores(arguments.store) as store, ThreadPoolExecutor(2) as pool:
        rows = list(pool.map(lambda case: measure(case, store()), cases(arguments.quick)))
    wants = wanted(rows)
    show(rows, wants)
    if arguments.json:
        arguments.json.write_text(json.dumps({"name": "quota", "rows": rows, "wanted": wants}, indent=1) + "\n")


if __name__ == "__main__":
    main()
