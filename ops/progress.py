"""How far a backfill is, from the checkpoints that its runs leave, and when it may end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.jobs.checkpoints import Checkpoint

# A guess from less than this is none.
LEAST_SHARE = 0.005


@dataclass(frozen=True)
class Progress:
    """share: 0-1, of pages or of date windows. done: records seen. changed: when a page was last stored.

    left: estimated from the pace since the beginning, pauses for the quota included; None while nothing can be said.
    """

    kind: str
    share: float
    done: int
    total: int | None
    began: datetime
    changed: datetime
    left: timedelta | None


def progress(kind: str, position: Checkpoint, now: datetime) -> Progress | None:
    """None where no backfill of the kind is under way."""
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
