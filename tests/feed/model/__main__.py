"""`python -m tests.feed.model --schedules 5000 --seed 1`: the long run. It prints each seed that shows a fault."""

from __future__ import annotations

import sys

from tests.feed.model.run import run_one
from tests.feed.model.schedule import Schedule
from tests.schedules import run_many


def counts(schedule: Schedule) -> dict[str, int]:
    return {
        "changes": sum(schedule.stored.values()),
        "messages": len(schedule.broker.messages),
        "duplicates": schedule.duplicates,
    }


if __name__ == "__main__":
    sys.exit(run_many("tests.feed.model", run_one, counts))
