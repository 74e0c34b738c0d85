"""How many requests a backfill or a pass still needs, and how long they take under the quota. Pure.

This uses only what is known: DrChrono's counts of its lists, the cost of the last pass, and the queue. A live bulk list
states how many records it has. Other lists do not, so the end of a first pass over them is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from shared.drchrono.kinds import Kind
from shared.jobs.checkpoint import Checkpoint
from shared.rate_limit.windows import Window

# A page of a live bulk list takes one request to start it and one to fetch it.
BULK_REQUESTS = 2
BULK_PAGE_RECORDS = 1000


@dataclass(frozen=True)
class Remaining:
    """requests: None if unknown. time: how long they take under the quota."""

    requests: int | None
    time: timedelta | None


def remaining(
    kind: Kind, checkpoint: Checkpoint, queued: int, quota: Sequence[Window], background_share: float
) -> Remaining | None:
    """Return what a running backfill or pass still needs; None if none is running.

    queued: the kind's entries in the work queue, each of which costs a request. quota: empty if unknown.
    """
    if checkpoint.backfill is None and (kind.listed_by != "patient" or checkpoint.reconcile is None):
        return None
    walked = left_of_pass(checkpoint) if kind.listed_by == "patient" else left_of_backfill(checkpoint)
    requests = None if walked is None else walked + queued
    return Remaining(requests, None if requests is None or not quota else time_of(requests, quota, background_share))


def left_of_backfill(checkpoint: Checkpoint) -> int | None:
    """Return the requests of a backfill: 0 if none is running, None if its lists do not state their sizes."""
    state = checkpoint.backfill
    if state is None or not state["windows"]:
        return 0
    total, reading = state.get("total"), state.get("reading") or {}
    (window, *others) = state["windows"]
    if others or window.get("first") is not None or not isinstance(total, int):
        return None
    pages = -(-total // BULK_PAGE_RECORDS) - int(reading.get("pages", 0))
    return BULK_REQUESTS * max(pages, 1)


def left_of_pass(checkpoint: Checkpoint) -> int | None:
    """Return the requests of a pass, estimated from the last pass or from the lists that are read already."""
    state = checkpoint.reconcile
    if state is None:
        return 0
    read = int(state.get("requests", 0))
    if checkpoint.pass_requests:
        return max(checkpoint.pass_requests - read, 1)
    return _by_lists(state, read)


def _by_lists(state: Mapping[str, Any], read: int) -> int | None:
    lists, all_lists = state.get("lists"), state.get("all_lists", 0)
    done = all_lists - len(lists) if lists is not None else 0
    if not lists or not done:
        return None
    left: int = max(round(read / done * all_lists) - read, len(lists))
    return left


def time_of(requests: int, quota: Sequence[Window], background_share: float) -> timedelta:
    """Return the time at the rate that live events leave to background work. Without events it is shorter."""
    return timedelta(seconds=requests / min(window.limit * background_share / window.seconds for window in quota))
