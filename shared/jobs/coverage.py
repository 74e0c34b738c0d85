"""Once a day, read whose records the copy holds (`shared.records.coverage`)."""

from __future__ import annotations

from datetime import timedelta

from shared.drchrono.kinds import KINDS
from shared.errors import DrChronoError
from shared.jobs.due import has_passed
from shared.jobs.run import Run
from shared.jobs.stopping import stops

INTERVAL = timedelta(days=1)
PAUSE_AFTER_FAILURE = timedelta(hours=1)


def look_at_coverage(run: Run) -> None:
    """One request a day to `users/current`. While a backfill is unfinished, the doctors are counted in each run.

    Raises Stopped.
    """
    parts = run.parts
    state, now = parts.coverage.state(), parts.now()
    problem = state.get("problem")
    failed_at = problem.get("at") if isinstance(problem, dict) else None
    if has_passed(INTERVAL, state.get("asked_at"), now) and has_passed(PAUSE_AFTER_FAILURE, failed_at, now):
        try:
            with stops():
                parts.coverage.ask()
        except DrChronoError as error:
            parts.coverage.failed(error.reason)
    if parts.checkpoints.get("doctors").synced_at is None:
        return
    if state.get("whole") is not True or has_passed(INTERVAL, state.get("counted_at"), now):
        listed = [kind.name for kind in KINDS.values() if kind.changes]
        parts.coverage.count(whole=all(parts.checkpoints.get(name).backfilled_at for name in listed))
