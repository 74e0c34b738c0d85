"""Log lines about the state at the end of a run. The metrics and most alerts of `terraform/` are based on them.

A state is logged in each run, not only when it begins, so an alert lasts as long as the state.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from shared.drchrono.permissions import Statement
from shared.errors import DeletionsHeld
from shared.jobs.run import Parts
from shared.jobs.status import KindState
from shared.log import log


def report(parts: Parts, states: Iterable[KindState]) -> None:
    """Log the state of every kind and of the work queue. states: one for each kind."""
    now = parts.now()
    missing: set[str] = set()
    for each in states:
        _report_position(each, now)
        _report_problems(each, now)
        missing.update(need for need, said in each.coverage.needs.items() if said is Statement.MISSING)
    for need in sorted(missing):
        log("coverage.missing", reason=need)
    for row in parts.queue.backlog():
        log("pending.state", reason=row.reason, count=row.count, oldest_seconds=_age(row.oldest, now))


def _report_position(state: KindState, now: datetime) -> None:
    """Log up to when the kind is complete.

    For a kind that is listed whole, the time between two lists is not lag. Medications, problems and allergies are as
    complete as the patients.
    """
    kind, complete = state.kind, state.checkpoint.complete_at
    if complete is not None and kind.listed_by != "patient":
        planned = timedelta(minutes=kind.sync_minutes) if kind.whole else timedelta(0)
        log("kind.position", kind=kind.name, lag_seconds=_age(complete + planned, now))


def _report_problems(state: KindState, now: datetime) -> None:
    """Log why jobs cannot continue with the kind, and whether its deletions are held."""
    kind = state.kind.name
    for job, problem in state.checkpoint.problems.items():
        if problem["reason"] != DeletionsHeld.reason:
            log(
                "kind.problem",
                job=job,
                kind=kind,
                reason=problem["reason"],
                attempt=problem["attempts"],
                oldest_seconds=_age(problem["since"], now),
            )
    if state.held_since is not None:
        log("deletions.waiting", kind=kind, oldest_seconds=_age(state.held_since, now))


def _age(instant: datetime, now: datetime) -> int:
    """Whole seconds, 0 if `instant` is in the future."""
    return max(round((now - instant).total_seconds()), 0)
