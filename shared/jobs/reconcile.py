"""The reconciliation: a complete pass over a kind, then a single read of each record that the pass did not show.

Absence from a list deletes nothing. It only puts the record into the work queue, where single reads decide
(`shared.records.absence`). If too many records are absent, none is queued, and the deletions of the kind are held.
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
    """Begin a pass over each of these kinds that has none under way. `go_on` does the work."""
    for name in kinds:
        state = new_state(KINDS[name], watermark.EARLIEST, parts.now())

        def begin(old: Checkpoint, state: dict[str, Any] = state) -> Checkpoint:
            return old if old.reconcile is not None else replace(old, reconcile=state)

        parts.checkpoints.change(name, begin)


def go_on(run: Run) -> None:
    """Continue the unfinished passes. Raises Stopped."""
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
        # Also if the deletions are held: a later pass must show the same before it is believed.
        parts.seen.drop(name_of("reconcile", kind.name), state["pages"])
        parts.checkpoints.change(kind.name, lambda old: replace(old, reconcile=None))


def notice_absent(run: Run, kind: Kind, state: State, covered: Iterable[Sequence[Where]] = ((),)) -> None:
    """Queue a single read of each living record that a pass did not show.

    state: of the pass, {began, pages}. covered: queries for the records that its lists cover, by default all. Raises
    DeletionsHeld if too many are absent.
    """
    parts = run.parts
    began: datetime = state["began"]
    seen = parts.seen.all(name_of("reconcile", kind.name), state["pages"])
    absent: list[str] = []
    for where in covered:
        for key, copy in parts.records.living(kind, where):
            run.renew()
            # A record that was fetched since the pass began may be newer than the page that would have shown it.
            if key not in seen and copy.fetched_at < began:
                absent.append(key)
    run.counts["absent"] += len(absent)
    parts.absences.notice(kind, absent, parts.now())
    if parts.absences.held_since(kind) is not None:
        parts.absences.found(kind, returned=False)
