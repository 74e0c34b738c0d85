"""The progress of a backfill, from the checkpoints of its runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ops.screen import duration, many
from shared.drchrono.kinds import Kind
from shared.jobs.checkpoint import Checkpoint
from shared.jobs.remaining import Remaining, remaining
from shared.settings import ApiSettings


@dataclass(frozen=True)
class Progress:
    """share: 0-1, of pages or date windows. done: records seen. changed: when a page was last stored."""

    kind: str
    share: float
    done: int
    total: int | None
    began: datetime
    changed: datetime


def progress(kind: str, position: Checkpoint) -> Progress | None:
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
    )


def left(kind: Kind, position: Checkpoint, queued: int, api: ApiSettings | None) -> Remaining | None:
    """Return what a running backfill or pass still needs; None if none is running. api: None if unknown."""
    quota, share = (api.quota, api.background_share) if api else ((), 1.0)
    return remaining(kind, position, queued, quota, share)


def said(left: Remaining) -> str:
    if left.requests is None:
        return "requests left: not known yet"
    time = f", {duration(left.time.total_seconds())}" if left.time else ""
    return f"about {many(left.requests, 'request')}{time} left"
