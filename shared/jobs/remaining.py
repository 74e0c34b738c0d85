"""How many requests a first filling, or a pass, still needs, and how long the quota takes for them. Pure.

Only what is known counts: DrChrono's own counts of its lists, what the last pass took, and what is queued. Live, a bulk
list says how many records it has. The other lists do not, and a first pass over them says nothing about its end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from shared.drchrono.kinds import Kind
from shared.jobs.checkpoint import Checkpoint
from shared.rate_limit.windows import Window

# A page of a live bulk list: one request begins it, another fetches it.
BULK_REQUESTS = 2
BULK_PAGE_RECORDS = 1000


@dataclass(frozen=True)
class Remaining:
    """requests: None while not known. time: what the quota takes for them."""

    requests: int | None
    time: timedelta | None


def remaining(
    kind: Kind, checkpoint: Checkpoint, queued: int, quota: Sequence[Window], background_share: float
) -> Remaining | None:
    """What a backfill or a pass that is under way still takes; None where there is none.

    queued: the entries of the kind in the work queue, each of which takes a request. quota: empty where unknown.
    """
    if checkpoint.backfill is None and (kind.listed_by != "patient" or checkpoint.reconcile is None):
        return None
    walked = left_of_pass(checkpoint) if kind.listed_by == "patient" else left_of_backfill(checkpoint)
    requests = None if walked is None else walked + queued
    return Remaining(requests, None if requests is None or not quota else time_of(requests, quota, background_share))


def left_of_backfill(checkpoint: Checkpoint) -> int | None:
    """Of a backfill: 0 where none is under way, None where its lists do not say how many records they have."""
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
    """Of a pass over the lists of the practice: by what the last one took, else by the lists that are read already."""
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
    """At the pace that is left to background work while live events come; without them it is faster."""
    return timedelta(seconds=requests / min(window.limit * background_share / window.seconds for window in quota))
