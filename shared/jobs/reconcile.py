"""The reconciliation: a complete pass over a kind, after which what was not in it is looked at one by one.

Nothing is deleted because it is absent: absence only puts a record on the pending list, where a single read decides.
And where too much is absent, nothing at all is done, and the alert says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from shared import watermark
from shared.errors import DrChronoError, LeaseLost
from shared.jobs.backfill import KIND_NAMES, follow, windows
from shared.jobs.run import Parts, Run, Stopped
from shared.jobs.walk import walk
from shared.kinds import KINDS, Kind
from shared.log import log
from shared.pending import Entry, Priority, Target
from shared.state.positions import Position
from shared.state.records import Source

# More absent than both is not a clinic's work but a fault: a permission lost, a filter ignored, an empty answer.
SHARE_BRAKE = 0.02
COUNT_BRAKE = 25


def start(parts: Parts, kinds: tuple[str, ...]) -> None:
    """Begin a pass over these kinds where none is under way; `go_on` does the work."""
    for name in kinds:
        state = _new_state(parts, KINDS[name])

        def begin(old: Position, state: dict[str, Any] = state) -> Position:
            return old if old.reconcile is not None else replace(old, reconcile=state)

        parts.positions.change(name, begin)


def _new_state(parts: Parts, kind: Kind) -> dict[str, Any]:
    """windows, resume: as in a backfill. pages: how many pages of ids are kept beside the position."""
    now = parts.now()
    return {
        "began": now,
        "windows": windows(kind, watermark.EARLIEST, now.date()),
        "resume": None,
        "pages": 0,
    }


def go_on(run: Run) -> None:
    """Work on what is unfinished. Raises Stopped; does nothing where another run is at it."""
    unfinished = [name for name in KIND_NAMES if run.parts.positions.get(name).reconcile is not None]
    if not unfinished:
        return
    try:
        with run.hold("reconcile-walk"):
            for name in unfinished:
                _kind(run, KINDS[name])
    except LeaseLost:
        raise Stopped("running") from None


def _kind(run: Run, kind: Kind) -> None:
    parts = run.parts
    state: dict[str, Any] | None = None
    try:
        while (state := parts.positions.get(kind.name).reconcile) is not None and state["windows"]:
            _window(run, kind, state)
    except DrChronoError as error:
        log("reconcile.refused", "ERROR", kind=kind.name, reason=error.reason, status=error.status or 0)
    else:
        if state is not None:
            _judge(run, kind, state)
    parts.seen.drop(kind.name, state["pages"] if state else 0)
    parts.positions.change(kind.name, lambda old: replace(old, reconcile=None))


def _window(run: Run, kind: Kind, state: dict[str, Any]) -> None:
    """Walk the current window, keep the ids that it shows, and strike it off."""
    parts = run.parts
    window = state["windows"][0]
    dates = (window["first"], window["last"]) if window["first"] else None
    pages: int = state["pages"]

    def save(resume: Mapping[str, Any] | None) -> None:
        def saved(old: Position) -> Position:
            if old.reconcile is None or old.reconcile["began"] != state["began"]:
                raise Stopped("restarted")
            if old.reconcile["windows"][:1] != [window]:
                raise Stopped("running")  # this run stood still, and another has gone on
            left = old.reconcile["windows"] if resume is not None else old.reconcile["windows"][1:]
            return replace(old, reconcile={**old.reconcile, "windows": left, "resume": resume, "pages": pages})

        parts.positions.change(kind.name, saved)

    since = None if dates else f"{watermark.EARLIEST.isoformat()}T00:00:00"
    empty = True
    for _, result in walk(
        run,
        kind,
        Source("reconcile"),
        since=since,
        window=dates,
        resume=state["resume"],
        archived=kind.window_days is not None,
        save=save,
        ahead=lambda page: follow(parts, kind, page),
    ):
        empty = False
        parts.seen.keep(kind.name, pages, result.keys)
        pages += 1
    if empty:
        save(None)


def _judge(run: Run, kind: Kind, state: dict[str, Any]) -> None:
    """Have the absent ones looked at, unless there are too many. Raises Stopped("mass_deletion")."""
    parts = run.parts
    began: datetime = state["began"]
    seen = parts.seen.all(kind.name, state["pages"])
    living = 0
    absent: list[str] = []
    for key, copy in parts.records.living(kind):
        run.renew()
        living += 1
        # What was fetched since the pass began may be newer than the page that it would have been on.
        if key not in seen and copy.fetched_at < began:
            absent.append(key)
    run.counts["absent"] += len(absent)
    if len(absent) > COUNT_BRAKE and len(absent) > SHARE_BRAKE * living:
        log("reconcile.stopped", "CRITICAL", kind=kind.name, count=len(absent), share=len(absent) / living)
        problem = {"reason": "mass_deletion", "at": parts.now()}
        parts.positions.change(kind.name, lambda old: replace(old, reconcile=None, problem=problem))
        parts.seen.drop(kind.name, state["pages"])
        raise Stopped("mass_deletion")
    now = parts.now()
    parts.pending.fold(
        # Looked at once already, by this pass: a 404 now is not the lag of a replica.
        Entry(Target(kind.name, key), "absent", Priority.CHILDREN, began, began, due=now, attempts=1)
        for key in absent
    )
    parts.positions.change(kind.name, lambda old: replace(old, reconciled_at=began, problem=None))
