"""`python -m tests.outbox.model --schedules 5000 --seed 1`: the long run. It prints each seed that shows a fault."""

from __future__ import annotations

import sys

from tests.outbox.model.run import run_one
from tests.outbox.model.schedule import Schedule
from tests.schedules import run_many


def counts(schedule: Schedule) -> dict[str, int]:
    return {
        "entries": len(schedule.asked),
        "writes": len(schedule.applied),
        "left to a person": schedule.left_to_a_person,
    }


if __name__ == "__main__":
    sys.exit(run_many("tests.outbox.model", run_one, counts))
