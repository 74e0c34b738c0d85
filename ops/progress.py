"""The progress of a backfill, from the checkpoints of its runs, and an estimate of its end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.jobs.checkpoints import Checkpoint

# No estimate before this much is done.
LEAST_SHARE = 0.005


@dataclass(frozen=True)
class Progress:
    """share: 0-1, of pages or date windows. done: records seen. changed: when a page was last stored. left: estimated
    from the pace since the start, including waits for the quota; None if no estimate is possible.
    """

    kind: str
    share: float
    done: int
    total: int | None
    began: datetime
    changed: datetime
    left: timedelta | None


def progress(kind: str, position: Checkpoint, now: datetime) -> Progress | None:
    """Return None if no backfill of the kind is running."""
    state = position.backfill
    if state is None:
        return None
    total: int | None = state["total"]
    if state["all_windows"] > 1:
        share = 1 - len(state["windows"]) / state["all_windows"]
    else:
        share = min(state["done"] / total, 1.0) if total else 0.0
    return Progress(
        kind=kind,
        share=share,
        done=state["done"],
        total=total,
        began=state["began"],
        changed=state["changed"],
        left=(now - state["began"]) * ((1 - share) / share) if share >= LEAST_SHARE else None,
    )
