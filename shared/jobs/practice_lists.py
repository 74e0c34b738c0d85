"""Medications, problems and allergies by the lists of the whole practice: they have no list of changes.

One pass over such a list costs a request for each 250 records. The lists of single patients cost one request for each
patient. Not every service answers the wider lists, and the widest may time out. So the pass uses the first of these
strategies that DrChrono answers, and the kind's checkpoint remembers it:

1. the list of the whole practice;
2. the lists of its doctors;
3. these in pages of half the size;
4. the lists of single patients (`shared.jobs.children`), by the work queue.

A pass is repeated once a day, or less often where it would exceed its share of the quota. It finds changes that no
webhook announced. If many patients change at once, their lists cost more than two passes, which then replace them (the
second proves what the first may have missed). A record that a pass does not show is queued, and a single read decides
(`shared.records.absence`).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from shared.drchrono.kinds import KINDS
from shared.errors import DeletionsHeld, LeaseLost
from shared.jobs.checkpoint import Checkpoint
from shared.jobs.due import pass_is_due
from shared.jobs.practice_pass import read_pass
from shared.jobs.practice_state import KIND_NAMES, begun
from shared.jobs.practice_strategies import strategy_of
from shared.jobs.run import Parts, Run
from shared.jobs.stopping import Stopped

# If one pass a day stays within its share of the quota, an unannounced change is found within a day.
INTERVAL = timedelta(days=1)


def start(parts: Parts) -> None:
    """Begin a pass over each kind, and search for its list strategy again. `go_on` does the work."""
    for name in KIND_NAMES:
        parts.checkpoints.change(name, lambda old: replace(begun(old, parts), strategy=None).recovered("reconcile"))


def go_on(run: Run, *, crowded: bool = False) -> None:
    """Continue the passes that are under way, and begin those that are due. Raises Stopped.

    crowded: more lists of single patients are due than the run could read.
    First passes come before the second ones that prove them: until then, the copy has nothing of the kind.
    """
    due = [name for name in KIND_NAMES if _is_due(run.parts, name) or (crowded and _is_cheaper(run.parts, name))]
    due.sort(key=lambda name: run.parts.checkpoints.get(name).filled_at is not None)
    if not due:
        return
    try:
        with run.hold("practice-lists"):
            for name in due:
                if run.may_try("reconcile", name):
                    try:
                        read_pass(run, KINDS[name])
                    except DeletionsHeld as error:
                        run.failed("reconcile", name, error)
    except LeaseLost:
        raise Stopped("running") from None


def by_patient(parts: Parts) -> list[str]:
    """Return the kinds that must be listed patient by patient."""
    return [name for name in KIND_NAMES if strategy_of(parts.checkpoints.get(name)).by == "patient"]


def _is_due(parts: Parts, name: str) -> bool:
    checkpoint = parts.checkpoints.get(name)
    return pass_is_due(checkpoint, parts.checkpoints.get("patients"), _interval(parts, checkpoint), parts.now())


def _is_cheaper(parts: Parts, name: str) -> bool:
    """Whether two passes, which complete the lists of single patients that are waiting, cost less than these lists."""
    checkpoint = parts.checkpoints.get(name)
    if strategy_of(checkpoint).by != "practice" or not checkpoint.pass_requests:
        return False
    return parts.queue.count(name, by="patient") > 2 * checkpoint.pass_requests


def _interval(parts: Parts, checkpoint: Checkpoint) -> timedelta | None:
    """Return the time between two passes, None if the slow round (`shared.jobs.slow_round`) replaces them.

    It is at least a day, and long enough that the passes of all kinds stay within their share of the quota.
    """
    if strategy_of(checkpoint).by == "patient":
        return None
    daily = parts.pass_requests_a_day / len(KIND_NAMES)
    return max(INTERVAL, INTERVAL * (checkpoint.pass_requests / daily)) if daily else INTERVAL
