"""The checkpoint of a walk: which lists are still to be read. Pure.

Everything of a kind is in its one list by `since`. Lists of dates are read instead where only what is dated after a day
is wanted, and before it where the one list was not answered.
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

# The list of everything by `since`.
UNDATED: Mapping[str, str | None] = {"first": None, "last": None}

# A list of everything that fails so often, and in these ways, is preceded by the lists of its dates, which are smaller.
ATTEMPTS = 2
FAILED = (BadRequest, ServerError, Unreachable, MalformedAnswer, BulkNotReady, ListShifted)

FUTURE = timedelta(days=720)  # most appointments are made within it

State = Mapping[str, Any]
Window = Mapping[str, Any]


def new_state(kind: Kind, since: date, now: datetime, **own: Any) -> dict[str, Any]:
    # Everything is in the one list by `since`; what is only wanted from a date on is in the lists of these dates.
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
    """The spans of dates that the kind is listed in, newest first, and at last everything by `since`, without dates:
    that list shows also what is dated before or after all spans, or not at all.
    """
    spans = date_windows(since, today + FUTURE, kind.window_days) if kind.window_days else ()
    dated: list[dict[str, str | None]] = [{"first": first, "last": last} for first, last in reversed(list(spans))]
    return [*dated, dict(UNDATED)]


def narrowed(old: Checkpoint, job: str, kind: Kind, today: date) -> Checkpoint:
    """Have the list of everything preceded by those of its dates where it was not answered in several attempts."""
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
    """How often the list was read before."""
    return int(window.get("readings", 0))


def is_shown_before(state: State) -> bool:
    """Whether other lists, or the current one when it was read before, have shown most of what it will show."""
    window: Window = state["windows"][0]
    return readings_of(window) > 0 or (window["first"] is None and state["all_windows"] > 1)


def state_of(position: Checkpoint, job: str) -> dict[str, Any] | None:
    state: dict[str, Any] | None = getattr(position, job)
    return state
