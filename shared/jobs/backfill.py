"""The backfill: everything since a date, kind by kind, appointments by windows from the newest back."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

from shared.drchrono.kinds import KINDS, Kind
from shared.drchrono.records import Page
from shared.jobs import watermark
from shared.jobs.checkpoints import Checkpoint
from shared.jobs.children import lists_of
from shared.jobs.run import Parts, Run
from shared.jobs.windowed import KIND_NAMES, State, new_state, walk_windows
from shared.jobs.windowed import go_on as go_on_with
from shared.log import log
from shared.records.store import PageResult

__all__ = ["KIND_NAMES", "go_on", "start"]


def start(parts: Parts, kinds: tuple[str, ...], since: date) -> None:
    """Begin anew for these kinds; `go_on` does the work. The state's own part: `done` and `total` records, for the
    progress.
    """
    for name in kinds:
        state = new_state(KINDS[name], since, parts.now(), done=0, total=None)

        def begin(old: Checkpoint, state: dict[str, Any] = state) -> Checkpoint:
            return replace(old, backfill=state).mended("backfill")

        parts.checkpoints.change(name, begin)


def go_on(run: Run) -> None:
    """Work on what is unfinished. Raises Stopped."""
    go_on_with(run, "backfill", _kind)


def _kind(run: Run, kind: Kind) -> None:
    parts = run.parts

    def each(state: State, page: Page, result: PageResult) -> dict[str, Any]:
        if kind is KINDS["patients"]:
            parts.queue.enqueue(lists_of(result.keys, page.began))
        # Of a window the total says nothing about the whole.
        return {"done": state["done"] + len(result.keys), "total": page.total if kind.window_days is None else None}

    walk_windows(run, kind, "backfill", each)
    parts.checkpoints.change(kind.name, _done)
    run.unfinished.pop(("backfill", kind.name), None)
    log("backfill.finished", kind=kind.name)


def _done(old: Checkpoint) -> Checkpoint:
    if old.backfill is None:
        return old
    began = old.backfill["began"]
    return replace(
        old,
        backfill=None,
        backfilled_at=began,
        watermark=old.watermark or watermark.behind(began),
        complete_at=max(filter(None, (began, old.synced_at))),
    ).mended("backfill")
