"""The reconciliation: a complete pass over a kind, after which what was not in it is looked at one by one.

Nothing is deleted because it is absent: absence only puts a record on the pending list, where a single read decides.
And where too much is absent, nothing at all is done, and the alert says so.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from shared.drchrono.kinds import KINDS, Kind
from shared.drchrono.records import Page
from shared.errors import DrChronoError
from shared.jobs import watermark
from shared.jobs.checkpoints import Checkpoint
from shared.jobs.children import follow
from shared.jobs.run import Parts, Run, Stopped
from shared.jobs.windowed import State, new_state, walk_windows
from shared.jobs.windowed import go_on as go_on_with
from shared.log import log
from shared.queue.entries import Entry, Priority, Target
from shared.records.store import PageResult

# More absent than both is not a clinic's work but a fault: a permission lost, a filter ignored, an empty answer.
SHARE_BRAKE = 0.02
COUNT_BRAKE = 25


def start(parts: Parts, kinds: tuple[str, ...]) -> None:
    """Begin a pass over these kinds where none is under way; `go_on` does the work. The state's own part: `pages`, how
    many pages of ids are kept beside the position.
    """
    for name in kinds:
        state = new_state(KINDS[name], watermark.EARLIEST, parts.now(), pages=0)

        def begin(old: Checkpoint, state: dict[str, Any] = state) -> Checkpoint:
            return old if old.reconcile is not None else replace(old, reconcile=state)

        parts.checkpoints.change(name, begin)


def go_on(run: Run) -> None:
    """Work on what is unfinished. Raises Stopped."""
    go_on_with(run, "reconcile", _kind)


def _kind(run: Run, kind: Kind) -> None:
    parts = run.parts

    def each(state: State, page: Page, result: PageResult) -> dict[str, Any]:
        parts.seen.keep(kind.name, state["pages"], result.keys)
        return {"pages": state["pages"] + 1}

    try:
        state = walk_windows(
            run,
            kind,
            "reconcile",
            each,
            archived=kind.window_days is not None,
            before_store=lambda page: follow(parts, kind, page),
        )
    except DrChronoError as error:
        log("reconcile.refused", "ERROR", kind=kind.name, reason=error.reason, status=error.status or 0)
        state = parts.checkpoints.get(kind.name).reconcile
    else:
        if state is not None:
            _judge(run, kind, state)
    parts.seen.drop(kind.name, state["pages"] if state else 0)
    parts.checkpoints.change(kind.name, lambda old: replace(old, reconcile=None))


def _judge(run: Run, kind: Kind, state: State) -> None:
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
        parts.checkpoints.change(kind.name, lambda old: replace(old, reconcile=None, problem=problem))
        parts.seen.drop(kind.name, state["pages"])
        raise Stopped("mass_deletion")
    now = parts.now()
    parts.queue.enqueue(
        # Looked at once already, by this pass: a 404 now is not the lag of a replica.
        Entry(Target(kind.name, key), "absent", Priority.CHILDREN, began, began, due=now, attempts=1)
        for key in absent
    )
    parts.checkpoints.change(kind.name, lambda old: replace(old, reconciled_at=began, problem=None))
