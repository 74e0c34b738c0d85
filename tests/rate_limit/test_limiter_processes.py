"""The limit holds across processes: one is killed, clocks differ, and an unexpected 429 stops all."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest

from benchmarks.quota_worker import Task, finish, start
from simulator import Config, Simulator


@pytest.fixture(params=["embedded", pytest.param("firestore", marks=pytest.mark.emulator)])
def store(request: pytest.FixtureRequest, tmp_path: Path, project: str) -> str:
    """The store as the processes find it: a file, or a project of the emulator."""
    if request.param == "embedded":
        return str(tmp_path / "store.sqlite3")
    request.getfixturevalue("emulators")
    return project


def started(simulator: Simulator, store: str, quota: str, skews: Sequence[float]) -> list[subprocess.Popen[str]]:
    token = simulator.issue_token()["access_token"]
    return [
        start(
            Task(
                instance=f"instance {number}",
                gate="shared",
                url=simulator.url,
                token=token,
                store=store,
                quota=quota,
                seconds=3.0,
                skew_seconds=skew,
            )
        )
        for number, skew in enumerate(skews)
    ]


def test_twenty_workers_in_four_processes_are_never_refused_though_one_is_killed(store: str) -> None:
    """On the real clock and the store's own time; a process dies with requests reserved; clocks differ by hours."""
    quota = "300/second,400/minute"
    with Simulator(Config(patients=5, quota=quota, limiter="sliding")) as simulator:
        processes = started(simulator, store, quota, skews=[0.0, 3600.0, -2.0, 0.0])
        while simulator.stats()["requests"] < 20 and processes[0].poll() is None:
            time.sleep(0.01)
        processes[0].kill()
        processes[0].communicate()
        for process in processes[1:]:
            finish(process)
        by_status = simulator.stats()["by_status"]
    assert by_status.keys() == {"200"}
    assert by_status["200"] <= 400


def test_an_unexpected_429_stops_all_processes_until_the_stated_time_and_then_one_probes(tmp_path: Path) -> None:
    log = tmp_path / "requests.jsonl"
    with Simulator(Config(patients=5, json_log=log)) as simulator:
        simulator.faults.set([{"fault": "429", "times": 1, "after": 100, "retry_after": 2}], replace=True)
        for process in started(
            simulator, str(tmp_path / "store.sqlite3"), "1000/second", skews=[0.0, 1.0, -3600.0, 0.0]
        ):
            finish(process)
    seen = [json.loads(line) for line in log.read_text().splitlines()]
    times = [datetime.fromisoformat(line["time"]).timestamp() for line in seen]
    refused = [when for when, line in zip(times, seen, strict=True) if line["status"] == "429"]
    assert len(refused) == 1
    after = [when - refused[0] for when in times]
    assert not [seconds for seconds in after if 1.5 < seconds < 2.0]
    assert len([seconds for seconds in after if 2.0 <= seconds < 3.5]) <= 1
