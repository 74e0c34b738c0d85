"""One process of the quota benchmark: it sends as many requests as its gate permits.

`start` runs it. The gates are our rate limiter and the two baselines.
"""

from __future__ import annotations

import http.client
import random
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks import processes, quota_gates
from benchmarks.counted_store import Counted
from benchmarks.quota_gates import Gate
from shared.documents import Documents
from shared.errors import QuotaExhausted, StoreUnavailable
from shared.rate_limit.ledger import Lane
from workstation.embedded_documents import EmbeddedDocuments

PROCESSES = 4
THREADS = 5
LIVE_PER_SECOND = 0.25  # 15 a minute; the reserve for live events is 20


@dataclass(frozen=True)
class Task:
    """The work of one process. `store` is a file of the embedded store or a project of the Firestore emulator. begins:
    the earliest time of a request (Unix time), so that processes that take long to start begin together.
    """

    instance: str
    gate: str
    url: str
    token: str
    store: str
    quota: str
    seconds: float
    begins: float = 0.0
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
        try:
            answer = self._request(connection)
        except ConnectionError:  # the server closes a connection after two minutes without a request
            connection.close()
            answer = self._request(connection)
        answer.read()
        return answer.status, float(answer.headers.get("Retry-After", 0))

    def _request(self, connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
        connection.request("GET", "/api/doctors", headers=self._headers)
        return connection.getresponse()


def run(task: Task) -> Result:
    """Send requests until the time of the task is over."""
    result = Result()
    end = max(task.begins, time.time()) + task.seconds
    documents = Counted(_open(task.store))
    skew = timedelta(seconds=task.skew_seconds)
    gate = quota_gates.make(task.gate, documents, task.quota, instance=task.instance, skew=skew)
    sender = Sender(task, gate, result, end)
    threads = [threading.Thread(target=sender.work) for _ in range(task.threads)]
    time.sleep(max(0.0, task.begins - time.time()))
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


def work(**task: Any) -> dict[str, Any]:
    """Run a task in this process. Task and result are as in JSON."""
    return asdict(run(Task(**task)))


def start(task: Task) -> subprocess.Popen[str]:
    return processes.start(work, **asdict(task))


def finish(process: subprocess.Popen[str]) -> Result:
    return Result(**processes.finish(process))
