"""Run one schedule on an embedded store that is emptied before."""

from __future__ import annotations

from pathlib import Path

from tests.model.schedule import Schedule
from tests.schedules import emptied


def run_one(seed: int, file: Path, *, tracing: bool = False) -> Schedule:
    schedule = Schedule(seed, emptied(file), tracing=tracing)
    schedule.run()
    return schedule
