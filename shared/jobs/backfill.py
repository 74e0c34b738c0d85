"""The backfill: everything since a date, kind by kind, by one list without dates or by lists of date ranges."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from typing import Any

from shared.drchrono.kinds import KINDS, Kind
from shared.drchrono.records import Page
from shared.jobs import practice_lists, watermark
from shared.jobs.checkpoint import Checkpoint
from shared.jobs.run import Parts, Run
from shared.jobs.status import publish
from shared.jobs.walk_state import State, new_state, readings_of
from shared.jobs.windowed import KIND_NAMES, walk_windows
from shared.jobs.windowed import go_on as go_on_with
from shared.log import log
from shared.records.store import PageResult

__all__ = ["KIND_NAMES", "go_on", "start"]


def start(parts: Parts, kinds: tuple[str, ...], since: date) -> None:
    """Start again for these kinds; `go_on` does the work. The state also holds `done` and `total`, for the progress."""
    for name in kinds:
        state = new_state(KINDS[name], since, parts.now(), done=0, total=None)

        def begin(old: Checkpoint, state: dict[str, Any] = state) -> Checkpoint:
            # From now on the syncs skip no change, so they show what changes while the backfill reads.
            mark = old.watermark or watermark.behind(state["began"])
            return replace(old, backfill=state, watermark=mark).recovered("backfill")

        parts.checkpoints.change(name, begin)
    if "patients" in kinds:
        practice_lists.start(parts)


def go_on(run: Run) -> None:
    """Continue the unfinished backfills. Raises Stopped."""
    go_on_with(run, "backfill", _kind)


def _kind(run: Run, kind: Kind) -> None:
    parts = run.parts
    found = parts.checkpoints.get(kind.name)

    def each(state: State, page: Page, result: PageResult) -> dict[str, Any]:
        again = readings_of(state["windows"][0]) > 0
        # The total of a date window says nothing about the whole.
        total = page.total if state["windows"][0]["first"] is None else None
        return {"done": state["done"] + (0 if again else len(result.keys)), "total": total}

    # Syncs keep a filled kind complete, so another backfill need not prove that it misses nothing.
    walk_windows(run, kind, "backfill", each, exact=found.filled_at is None and _is_full(found))
    now = parts.now()
    run.finished("backfill", kind, lambda old: _done(old, now), publish)
    log("backfill.finished", kind=kind.name)


def _is_full(position: Checkpoint) -> bool:
    """Whether the backfill requests everything, and not only what is newer than a date."""
    return position.backfill is not None and bool(position.backfill["since"] <= watermark.EARLIEST.isoformat())


def _done(old: Checkpoint, now: datetime) -> Checkpoint:
    """The kind becomes complete with a later sync, which shows the records that changed, and moved, until now."""
    if old.backfill is None:
        return old
    began = old.backfill["began"]
    return replace(old.filled(now) if _is_full(old) else old, backfill=None, backfilled_at=began)
