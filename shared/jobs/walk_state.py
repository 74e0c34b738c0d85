"""The state of a walk: which lists of a kind are still to be read. Pure.

One list by `since`, without dates, shows everything of a kind. Lists of date ranges precede it in two cases: the walk
starts at a later date than the earliest, or the list without dates has failed repeatedly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from shared.drchrono.kinds import Kind
from shared.drchrono.windows import date_windows
from shared.errors import BadRequest, BulkNotReady, ListShifted, MalformedAnswer, ServerError, Unreachable
from shared.jobs.checkpoint import Checkpoint
from shared.jobs.watermark import EARLIEST

# The list by `since`, without dates.
UNDATED: Mapping[str, str | None] = {"first": None, "last": None}

# If the list without dates fails this often with one of these errors, the smaller lists of date ranges precede it.
ATTEMPTS = 2
FAILED = (BadRequest, ServerError, Unreachable, MalformedAnswer, BulkNotReady, ListShifted)

FUTURE = timedelta(days=720)  # few appointments are further ahead

State = Mapping[str, Any]
Window = Mapping[str, Any]


def new_state(kind: Kind, since: date, now: datetime, **own: Any) -> dict[str, Any]:
    # The list by `since` alone is enough from the earliest date on. For a later date, the date ranges come first.
    spans = windows(kind, since, now.date()) if since > EARLIEST else [dict(UNDATED)]
    return {
        "since": since.isoformat(),
        "began": now,
        "changed": now,
        "windows": spans,
        "all_windows": len(spans),
        "resume": None,
        "reading": None,
        "pages": 0,
        **own,
    }


def windows(kind: Kind, since: date, today: date) -> list[dict[str, str | None]]:
    """Return the date ranges in which the kind is listed, newest first, and then the list without dates.

    The list without dates also shows records that are dated outside all ranges, or not at all.
    """
    spans = date_windows(since, today + FUTURE, kind.window_days) if kind.window_days else ()
    dated: list[dict[str, str | None]] = [{"first": first, "last": last} for first, last in reversed(list(spans))]
    return [*dated, dict(UNDATED)]


def narrowed(old: Checkpoint, job: str, kind: Kind, today: date) -> Checkpoint:
    """Return the checkpoint with lists of date ranges first, if the list without dates failed `ATTEMPTS` times."""
    state = state_of(old, job)
    attempts = old.problems.get(job, {}).get("attempts", 0)
    if kind.window_days is None or state is None or attempts < ATTEMPTS:
        return old
    if state["all_windows"] > 1 or not state["windows"]:
        return old
    spans = windows(kind, date.fromisoformat(state["since"]), today)
    begun: dict[str, Any] = {
        job: {**state, "windows": spans, "all_windows": len(spans), "resume": None, "reading": None}
    }
    return replace(old, **begun)


def readings_of(window: Window) -> int:
    """Return how often the list was read before."""
    return int(window.get("readings", 0))


def is_shown_before(state: State) -> bool:
    """Return whether other lists, or an earlier reading of the current one, have shown most of its records."""
    window: Window = state["windows"][0]
    return readings_of(window) > 0 or (window["first"] is None and state["all_windows"] > 1)


def state_of(position: Checkpoint, job: str) -> dict[str, Any] | None:
    state: dict[str, Any] | None = getattr(position, job)
    return state
