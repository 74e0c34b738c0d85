"""Once a day, with the kinds that are listed whole: whose records the copy holds (`shared.records.coverage`)."""

from __future__ import annotations

from datetime import datetime, timedelta

from shared.drchrono.kinds import KINDS
from shared.errors import DrChronoError
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
    if _is_older(state.get("asked_at"), INTERVAL, now) and _is_older(failed_at, PAUSE_AFTER_FAILURE, now):
        try:
            with stops():
                parts.coverage.ask()
        except DrChronoError as error:
            parts.coverage.failed(error.reason)
    if parts.checkpoints.get("doctors").synced_at is None:
        return
    if state.get("whole") is not True or _is_older(state.get("counted_at"), INTERVAL, now):
        listed = [kind.name for kind in KINDS.values() if kind.changes]
        parts.coverage.count(whole=all(parts.checkpoints.get(name).backfilled_at for name in listed))


def _is_older(instant: object, span: timedelta, now: datetime) -> bool:
    """Whether `instant` is so long ago, or is none."""
    return not isinstance(instant, datetime) or instant.tzinfo is None or now - instant >= span
