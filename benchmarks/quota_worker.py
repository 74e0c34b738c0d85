"""One process of the quota benchmark: it sends as many requests as its gate permits.

Run by `start` in a process of its own. The gates are our rate limiter and the two baselines.
"""

from __future__ import annotations

import http.client
import json
import random
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from benchmarks.counted_store import Counted
from shared.documents import Documents, Transaction
from shared.errors import QuotaExhausted, StoreUnavailable
from shared.rate_limit.ledger import Lane
from shared.rate_limit.limiter import RateLimiter
from shared.rate_limit.windows import Window, parse_windows
from workstation.embedded_documents import EmbeddedDocuments

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


def open_gate(task: Task, documents: Documents) -> Gate:
    if task.gate == "each alone":
        return EachAlone()
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
    documents = Counted(_open(task.store))
    sender = Sender(task, open_gate(task, documents), result, end)
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
    result.transactions = documents.transactions
    return result


def start(task: Task) -> subprocess.Popen[str]:
    """Run `work` in a new process; its last line of output is the result."""
    command = [sys.executable, "-c", f"from {__name__} import main; main()", json.dumps(asdict(task))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent)


def main() -> None:
    print(json.dumps(asdict(work(Task(**json.loads(sys.argv[1]))))))


def finish(process: subprocess.Popen[str]) -> Result:
    output, _ = process.communicate()
    return Result(**json.loads(output.splitlines()[-1]))
