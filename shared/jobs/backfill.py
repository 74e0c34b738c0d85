"""The backfill: everything since a date, kind by kind, appointments by windows from the newest back.

Its checkpoint is part of the kind's position and is written after each page; whatever ends a run, the next one goes
on with the page that was being stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from shared import watermark
from shared.drchrono.records import Page
from shared.errors import DrChronoError, LeaseLost
from shared.jobs.run import Parts, Run, Stopped
from shared.jobs.walk import walk
from shared.kinds import KINDS, Kind, patient_of
from shared.log import log
from shared.pending import Entry, Priority, Target
from shared.state.positions import Position
from shared.state.records import Source
from shared.windows import date_windows

KIND_NAMES = tuple(name for name, kind in KINDS.items() if kind.changes)

FUTURE = timedelta(days=720)  # appointments are made this far ahead; later ones come by their own changes


def start(parts: Parts, kinds: tuple[str, ...], since: date) -> None:
    """Begin anew for these kinds; `go_on` does the work."""
    for name in kinds:
        state = _new_state(parts, KINDS[name], since)
        parts.positions.change(name, lambda old, state=state: replace(old, backfill=state))  # type: ignore[misc]


def _new_state(parts: Parts, kind: Kind, since: date) -> dict[str, Any]:
    """since: as asked. windows: those still to be walked, the current one first. resume: the page to go on with.
    done, total: records, for the progress.
    """
    now = parts.now()
    spans = windows(kind, since, now.date())
    return {
        "since": since.isoformat(),
        "began": now,
        "changed": now,
        "windows": spans,
        "all_windows": len(spans),
        "resume": None,
        "done": 0,
        "total": None,
    }


def windows(kind: Kind, since: date, today: date) -> list[dict[str, str | None]]:
    """The spans of dates that the kind is listed in, newest first; one without dates where `since` is enough."""
    if kind.window_days is None:
        return [{"first": None, "last": None}]
    spans = list(date_windows(since, today + FUTURE, kind.window_days))
    return [{"first": first, "last": last} for first, last in reversed(spans)]


def go_on(run: Run) -> None:
    """Work on what is unfinished. Raises Stopped; does nothing where another run is at it."""
    unfinished = [name for name in KIND_NAMES if run.parts.positions.get(name).backfill is not None]
    if not unfinished:
        return
    try:
        with run.hold("backfill-walk"):
            for name in unfinished:
                _kind(run, KINDS[name])
    except LeaseLost:
        raise Stopped("running") from None


def _kind(run: Run, kind: Kind) -> None:
    parts = run.parts
    try:
        while (state := parts.positions.get(kind.name).backfill) is not None and state["windows"]:
            _window(run, kind, state)
    except DrChronoError as error:
        log("backfill.refused", "ERROR", kind=kind.name, reason=error.reason, status=error.status or 0)
        problem = {"reason": error.reason, "at": parts.now()}
        parts.positions.change(kind.name, lambda old: replace(old, backfill=None, problem=problem))
        return

    def done(old: Position) -> Position:
        if old.backfill is None:
            return old
        began = old.backfill["began"]
        return replace(
            old,
            backfill=None,
            backfilled_at=began,
            watermark=old.watermark or watermark.behind(began),
            complete_at=max(filter(None, (began, old.synced_at))),
            problem=None,
        )

    parts.positions.change(kind.name, done)
    log("backfill.finished", kind=kind.name)


def _window(run: Run, kind: Kind, state: dict[str, Any]) -> None:
    """Walk the current window and strike it off."""
    parts = run.parts
    window = state["windows"][0]
    dates = (window["first"], window["last"]) if window["first"] else None
    done, total = state["done"], state["total"]

    def save(resume: Mapping[str, Any] | None) -> None:
        def saved(old: Position) -> Position:
            if old.backfill is None or old.backfill["began"] != state["began"]:
                raise Stopped("restarted")
            if old.backfill["windows"][:1] != [window]:
                raise Stopped("running")  # this run stood still, and another has gone on
            left = old.backfill["windows"] if resume is not None else old.backfill["windows"][1:]
            progress = {"done": done, "total": total, "changed": parts.now()}
            return replace(old, backfill={**old.backfill, **progress, "windows": left, "resume": resume})

        parts.positions.change(kind.name, saved)

    since = None if dates else f"{state['since']}T00:00:00"
    empty = True
    for page, result in walk(
        run, kind, Source("backfill"), since=since, window=dates, resume=state["resume"], save=save
    ):
        empty = False
        if kind is KINDS["patients"]:
            parts.pending.fold(child_entries(result.keys, page.began))
        done += len(result.keys)
        total = page.total if dates is None else None
    if empty:
        save(None)


def follow(parts: Parts, kind: Kind, page: Page) -> None:
    """Mark the lists of patients with whom something changed on this page, before it is stored."""
    if kind.children:
        new = parts.records.news(kind, page.records, page.began)
        patients = {patient for record in new if (patient := patient_of(kind, record))}
        parts.pending.fold(child_entries(patients, page.began, "follows", Priority.CHILDREN))


def child_entries(
    patients: Iterable[str], seen: datetime, reason: str = "backfill", priority: Priority = Priority.BACKFILL
) -> list[Entry]:
    """The lists of medications, problems and allergies of these patients."""
    return [
        Entry(Target(child, patient, "patient"), reason, priority, seen, seen, due=seen)
        for patient in patients
        for child in KINDS["patients"].children
    ]
