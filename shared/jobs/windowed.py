"""A walk over everything of a kind since a date, which any later run can continue.

Its state is a field of the kind's checkpoint (`backfill`, `reconcile`) and is saved after each page:
since: the date. began, changed: when the walk began, and when the state was last saved. windows: the lists still to be
read, the current one first. all_windows: how many there were. resume: the position of the next page. reading: what the
current list has shown (`shared.jobs.reading`). pages, before: which pages of ids are kept (`shared.jobs.listing`). The
job may add fields of its own.

A list whose pages may have missed a record moves to the end of `windows` and is read again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from shared.drchrono.kinds import KINDS, Kind
from shared.drchrono.records import Page
from shared.errors import (
    DeletionsHeld,
    DrChronoError,
    LeaseLost,
    ListShifted,
)
from shared.jobs import watermark
from shared.jobs.checkpoint import Checkpoint
from shared.jobs.listing import Listing
from shared.jobs.reading import MOST_NEW, MOST_READINGS
from shared.jobs.run import Run
from shared.jobs.stopping import Stopped
from shared.jobs.walk import BeforeStore, walk
from shared.jobs.walk_state import FAILED, State, Window, is_shown_before, narrowed, readings_of, state_of
from shared.records.store import PageResult, Source

KIND_NAMES = tuple(name for name, kind in KINDS.items() if kind.changes)

# Returns the job's own fields of the state after a page.
Each = Callable[[State, Page, PageResult], Mapping[str, Any]]


def go_on(run: Run, job: str, work: Callable[[Run, Kind], None]) -> None:
    """Call `work` for each kind that `job` has not finished. A kind that fails keeps its checkpoint for a later run.

    Raises Stopped, also if another run has the lease.
    """
    unfinished = [name for name in KIND_NAMES if state_of(run.parts.checkpoints.get(name), job) is not None]
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
                        if isinstance(error, FAILED):
                            _narrow(run, job, KINDS[name])
    except LeaseLost:
        raise Stopped("running") from None


def _narrow(run: Run, job: str, kind: Kind) -> None:
    today = run.parts.now().date()
    run.parts.checkpoints.change(kind.name, lambda old: narrowed(old, job, kind, today))


def walk_windows(
    run: Run,
    kind: Kind,
    job: str,
    each: Each,
    *,
    exact: bool = False,
    keep_ids: bool = False,
    archived: bool = False,
    before_store: BeforeStore = lambda page, bench: None,
) -> State | None:
    """Read the remaining lists. Return the final state, or None if the job was ended meanwhile.

    exact: read the list without dates until its readings prove that no record was missed. keep_ids: keep the ids of all
    pages. Raises Stopped, and a DrChronoError that concerns only this kind.
    """
    walker = _Walker(run, kind, job, each, exact, keep_ids, archived, before_store)
    while (state := state_of(run.parts.checkpoints.get(kind.name), job)) is not None and state["windows"]:
        walker.read(state)
    return state


@dataclass(frozen=True)
class _Walker:
    run: Run
    kind: Kind
    job: str
    each: Each
    exact: bool
    keep_ids: bool
    archived: bool
    before_store: BeforeStore

    def read(self, state: State) -> None:
        """Read the current list. Then remove it from `windows`, or move it to the end to be read again."""
        window: Window = state["windows"][0]
        dates = (window["first"], window["last"]) if window["first"] else None
        exact = self.exact and dates is None
        listing = Listing(self.run.parts.seen, self.job, self.kind, state, keep_ids=self.keep_ids, exact=exact)
        own: dict[str, Any] = {}
        position: Mapping[str, Any] | None = state["resume"]
        again, empty = False, True

        def save(resume: Mapping[str, Any] | None) -> None:
            nonlocal position
            position = resume
            self._save(state, own | (listing.state if resume else listing.state_of_next), resume, again=again)

        for page, result in walk(
            self.run,
            self.kind,
            Source(self.job, again=is_shown_before(state)),
            since=None if dates else f"{state['since']}T00:00:00",
            window=dates,
            resume=state["resume"],
            archived=self.archived,
            before_store=self.before_store,
            save=save,
        ):
            empty = False
            own.update(self.each({**state, **own}, page, result))
            listing.add(page, result)
            if page.resume is None:
                # Saved before the check lists the changes: after a crash in it, no record would count as new.
                save_again = partial(self._save, state, own | listing.state, position)
                again = not self._is_done(state, listing, save_again, exact=exact)
            del page, result
        if empty:
            save(None)
        listing.forget(again=again)
        if again and readings_of(window) + 1 >= MOST_READINGS:
            raise ListShifted(self.kind.name)

    def _is_done(self, state: State, listing: Listing, save: Callable[[], object], *, exact: bool) -> bool:
        """Return, after the last page of a list, whether it need not be read again."""
        reading = listing.reading
        agrees = listing.agrees()
        if not exact or (agrees and reading.is_proof()):
            return agrees
        if not listing.proves_the_one_before() or len(reading.new) > MOST_NEW:
            return False
        if not reading.new:
            return True
        save()
        return self._changed(state["began"]) >= set(reading.new)

    def _changed(self, began: datetime) -> set[str]:
        """List and store the records that were created or changed since the walk began. Return their ids."""
        since = watermark.since(watermark.behind(began))
        pages = walk(self.run, self.kind, Source(self.job), since=since, save=lambda resume: None)
        return {key for _, result in pages for key in result.keys}

    def _save(
        self, state: State, own: Mapping[str, Any], resume: Mapping[str, Any] | None, *, again: bool = False
    ) -> None:
        """Save the state. `resume` None removes the current list; `again` moves it to the end."""
        window: Window = state["windows"][0]

        def saved(old: Checkpoint) -> Checkpoint:
            there = state_of(old, self.job)
            if there is None or there["began"] != state["began"]:
                raise Stopped("restarted")
            if there["windows"][:1] != [window]:
                raise Stopped("running")  # this run stalled, and another has continued the walk
            left = there["windows"]
            if resume is None:
                left = left[1:] + ([{**window, "readings": readings_of(window) + 1}] if again else [])
            changed = {"windows": left, "resume": resume, "changed": self.run.parts.now()}
            field: dict[str, Any] = {self.job: {**there, **own, **changed}}
            return replace(old, **field)

        self.run.parts.checkpoints.change(self.kind.name, saved)
