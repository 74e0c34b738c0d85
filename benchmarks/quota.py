"""Measure how instances share one quota: 20 workers in 4 processes against the simulator's limiters, in real time.

    python -m benchmarks.quota [--quick] [--store embedded|firestore] [--json FILE]

Baselines in the same run: `each alone` sends until DrChrono refuses, then waits as long as stated (the guide's code).
`one by one` counts every request in its own transaction.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.quota_worker import LIVE_PER_SECOND, PROCESSES, Task, finish, start
from local.emulators import Emulators
from shared.rate_limit.windows import parse_windows
from simulator import Config, Simulator
from simulator.quota import Limiter


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
    arguments = parser.parse_args()
    # The processes wait for most of each minute, so two cases at a time hardly disturb each other.
    with stores(arguments.store) as store, ThreadPoolExecutor(2) as pool:
        rows = list(pool.map(lambda case: measure(case, store()), cases(arguments.quick)))
    wants = wanted(rows)
    show(rows, wants)
    if arguments.json:
        arguments.json.write_text(json.dumps({"name": "quota", "rows": rows, "wanted": wants}, indent=1) + "\n")


if __name__ == "__main__":
    main()
