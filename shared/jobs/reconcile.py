"""The reconciliation: a complete pass over a kind, after which what was not in it is looked at one by one.

Nothing is deleted because it is absent: absence only puts a record into the work queue, where a single read decides
(`shared.records.absence`). Where too much is absent, nothing is queued, and the deletions of the kind are held.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from shared.documents import Where
from shared.drchrono.kinds import KINDS, Kind
from shared.jobs import watermark
from shared.jobs.checkpoint import Checkpoint
from shared.jobs.children import follow
from shared.jobs.run import Parts, Run
from shared.jobs.seen import name_of
from shared.jobs.status import publish
from shared.jobs.walk_state import State, new_state
from shared.jobs.windowed import go_on as go_on_with
from shared.jobs.windowed import walk_windows


def start(parts: Parts, kinds: tuple[str, ...]) -> None:
    """Begin a pass over these kinds where none is under way; `go_on` does the work."""
    for name in kinds:
        state = new_state(KINDS[name], watermark.EARLIEST, parts.now())

        def begin(old: Checkpoint, state: dict[str, Any] = state) -> Checkpoint:
            return old if old.reconcile is not None else replace(old, reconcile=state)

        parts.checkpoints.change(name, begin)


def go_on(run: Run) -> None:
    """Work on what is unfinished. Raises Stopped."""
    go_on_with(run, "reconcile", _kind)


def _kind(run: Run, kind: Kind) -> None:
    parts = run.parts

    state = walk_windows(
        run,
        kind,
        "reconcile",
        lambda state, page, result: {},
        exact=parts.checkpoints.get(kind.name).filled_at is None,
        keep_ids=True,
        archived=kind.window_days is not None,
        before_store=partial(follow, parts, kind),
    )
    if state is None:
        return
    began, now = state["began"], parts.now()
    try:
        notice_absent(run, kind, state)
        run.finished("reconcile", kind, lambda old: replace(old.filled(now), reconciled_at=began), publish)
    finally:
        # Also where the deletions are held: a later pass has to show the same before it is believed.
        parts.seen.drop(name_of("reconcile", kind.name), state["pages"])
        parts.checkpoints.change(kind.name, lambda old: replace(old, reconcile=None))


def notice_absent(run: Run, kind: Kind, state: State, covered: Iterable[Sequence[Where]] = ((),)) -> None:
    """Have the records looked at that a pass did not show. covered: which records its lists cover, by default all.

    state: of the pass, {began, pages}. Raises DeletionsHeld where too many are absent.
    """
    parts = run.parts
    began: datetime = state["began"]
    seen = parts.seen.all(name_of("reconcile", kind.name), state["pages"])
    absent: list[str] = []
    for where in covered:
        for key, copy in parts.records.living(kind, where):
            run.renew()
            # What was fetched since the pass began may be newer than the page that it would have been on.
            if key not in seen and copy.fetched_at < began:
                absent.append(key)
    run.counts["absent"] += len(absent)
    parts.absences.notice(kind, absent, parts.now())
    if parts.absences.held_since(kind) is not None:
        parts.absences.found(kind, returned=False)
