"""Measure how instances share one quota: 20 workers in 4 processes against the simulator's limiters, in real time.

    python -m benchmarks.quota [--quick] [--store embedded|firestore] [--json FILE]

Baselines in the same run: `each alone` sends until DrChrono refuses, then waits as long as stated (the guide's code).
`one by one` counts every request in its own transaction.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.quota_worker import LIVE_PER_SECOND, PROCESSES, Task, finish, start
from benchmarks.report import Report, Row, Want
from local.emulators import Emulators
from shared.rate_limit.windows import parse_windows
from simulator import Config, Simulator
from simulator.quota import Limiter

# Eight processes that start at once on two cores need several seconds for their imports.
START_SECONDS = 20.0


@dataclass(frozen=True)
class Case:
    """`live`: whether live events arrive during the backfill."""

    quota: str
    limiter: Limiter
    gate: str
    windows: int
    live: bool = False


def measured(case: Case, store: str) -> Row:
    """Return the row of one case. `used` is relative to what a sliding window admits in that time."""
    window = parse_windows(case.quota)[0]
    seconds = case.windows * window.seconds
    with Simulator(Config(patients=5, quota=case.quota, limiter=case.limiter)) as simulator:
        token = simulator.issue_token()["access_token"]
        begins = time.time() + START_SECONDS
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
                    begins=begins,
                    live_per_second=LIVE_PER_SECOND / PROCESSES if case.live else 0.0,
                )
            )
            for number in range(PROCESSES)
        ]
        time.sleep(begins + seconds - 1.0 - time.time())
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
        "live_p95": round(waits[int(len(waits) * 0.95)], 2) if waits else "-",
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


def judge(rows: Sequence[Row]) -> list[Want]:
    ours = [row for row in rows if row["gate"] == "shared"]
    live_p95 = max(float(row["live_p95"]) for row in ours if row["live"])
    refused = sum(int(row["refused"]) for row in ours)
    # Not with live events, for which background work leaves a part unused.
    used = min(float(row["used"]) for row in ours if not row["live"])
    transactions = max(float(row["transactions"]) for row in ours)
    return [
        Want("refused (429)", "0", f"{refused}", refused == 0),
        Want("share of the quota used", ">= 0.95", f"{used}", used >= 0.95),
        Want("transactions per second", "<= 2", f"{transactions}", transactions <= 2),
        Want("p95 wait of live, 100/minute", "< 2 s", f"{live_p95}", live_p95 < 2),
    ]


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
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    arguments = parser.parse_args()
    # The processes wait for most of each minute, so two cases at a time hardly disturb each other.
    with stores(arguments.store) as store, ThreadPoolExecutor(2) as pool:
        rows = list(pool.map(lambda case: measured(case, store()), cases(arguments.quick)))
    Report("quota", rows, judge(rows)).show(arguments.json)


if __name__ == "__main__":
    main()
