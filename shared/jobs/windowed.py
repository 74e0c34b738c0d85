"""A walk over everything of a kind since a date, by windows from the newest back, that any later run can go on with.

Its checkpoint is a field of the kind's position (`backfill`, `reconcile`) and is written after each page:
since: as asked. began, changed: when it was begun, and last written. windows: those still to be walked, the current one
first; all_windows: how many there were. resume: the page to go on with. And what the job itself adds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from shared.drchrono.kinds import KINDS, Kind
from shared.drchrono.records import Page
from shared.drchrono.windows import date_windows
from shared.errors import DeletionsHeld, DrChronoError, LeaseLost
from shared.jobs.checkpoints import Checkpoint
from shared.jobs.run import Run, Stopped
from shared.jobs.walk import BeforeStore, walk
from shared.records.store import PageResult, Source

KIND_NAMES = tuple(name for name, kind in KINDS.items() if kind.changes)

FUTURE = timedelta(days=720)  # appointments are made this far ahead; later ones come by their own changes

State = Mapping[str, Any]
# What a page changes in the job's own part of the state.
Each = Callable[[State, Page, PageResult], Mapping[str, Any]]


def new_state(kind: Kind, since: date, now: datetime, **own: Any) -> dict[str, Any]:
    spans = windows(kind, since, now.date())
    return {
        "since": since.isoformat(),
        "began": now,
        "changed": now,
        "windows": spans,
        "all_windows": len(spans),
        "resume": None,
        **own,
    }


def windows(kind: Kind, since: date, today: date) -> list[dict[str, str | None]]:
    """The spans of dates that the kind is listed in, newest first; one without dates where `since` is enough."""
    if kind.window_days is None:
        return [{"first": None, "last": None}]
    spans = list(date_windows(since, today + FUTURE, kind.window_days))
    return [{"first": first, "last": last} for first, last in reversed(spans)]


def go_on(run: Run, job: str, work: Callable[[Run, Kind], None]) -> None:
    """`work` on each kind that `job` has not finished; one that cannot go on waits with its checkpoint.

    Raises Stopped, also where another run is at it.
    """
    unfinished = [name for name in KIND_NAMES if _state(run.parts.checkpoints.get(name), job) is not None]
    if not unfinished:
        return
    try:
        with run.hold(f"{job}-walk"):
            for name in unfinished:
                if run.may_try(job, name):
                    try:
                        work(run, KINDS[name])
                    except (DrChronoError, DeletionsHeld) as error:
                        run.failed(job, name, error)
    except LeaseLost:
        raise Stopped("running") from None


def walk_windows(
    run: Run, kind: Kind, job: str, each: Each, *, archived: bool = False, before_store: BeforeStore = lambda page: None
) -> State | None:
    """Walk what is left, and give the state with no window in it; None where the job was ended meanwhile.

    Raises Stopped, and a DrChronoError that concerns this kind alone.
    """
    while (state := _state(run.parts.checkpoints.get(kind.name), job)) is not None and state["windows"]:
        _window(run, kind, job, state, each, archived=archived, before_store=before_store)
    return state


def _window(
    run: Run, kind: Kind, job: str, state: State, each: Each, *, archived: bool, before_store: BeforeStore
) -> None:
    """Walk the current window and strike it off."""
    window = state["windows"][0]
    dates = (window["first"], window["last"]) if window["first"] else None
    own: dict[str, Any] = {}

    def save(resume: Mapping[str, Any] | None) -> None:
        def saved(old: Checkpoint) -> Checkpoint:
            there = _state(old, job)
            if there is None or there["began"] != state["began"]:
                raise Stopped("restarted")
            if there["windows"][:1] != [window]:
                raise Stopped("running")  # this run stood still, and another has gone on
            left = there["windows"] if resume is not None else there["windows"][1:]
            changed = {"windows": left, "resume": resume, "changed": run.parts.now()}
            field: dict[str, Any] = {job: {**there, **own, **changed}}
            return replace(old, **field)

        run.parts.checkpoints.change(kind.name, saved)

    since = None if dates else f"{state['since']}T00:00:00"
    empty = True
    for page, result in walk(
        run,
        kind,
        Source(job),
        since=since,
        window=dates,
        resume=state["resume"],
        archived=archived,
        before_store=before_store,
        save=save,
    ):
        empty = False
        own.update(each({**state, **own}, page, result))
        del page, result
    if empty:
        save(None)


def _state(position: Checkpoint, job: str) -> dict[str, Any] | None:
    state: dict[str, Any] | None = getattr(position, job)
    return state
