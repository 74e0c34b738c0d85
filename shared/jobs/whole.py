"""The kinds that are listed whole once a day: doctors, offices, users and appointment profiles.

They have no webhooks and no `since`. A record that the list no longer shows is kept. If DrChrono refuses to list a
kind, only that kind waits, and the run continues with the next one.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from shared.drchrono.kinds import KINDS, Kind
from shared.drchrono.lag import listed_until
from shared.errors import BadRequest, DrChronoError, ListEmpty, NotFound
from shared.jobs.checkpoint import Checkpoint
from shared.jobs.due import list_is_due
from shared.jobs.run import Run
from shared.jobs.walk import walk
from shared.records.store import Source


def list_whole(run: Run, *, force: bool = False) -> None:
    """List each kind that is due. force: list all. Raises Stopped."""
    parts = run.parts
    for kind in [kind for kind in KINDS.values() if kind.whole]:
        due = force or list_is_due(kind, parts.checkpoints.get(kind.name), parts.now())
        if due and (force or run.may_try("sync", kind.name)):
            _list(run, kind)


def _list(run: Run, kind: Kind) -> None:
    """The state of an unfinished list is {began, resume, shown, pages}: `shown` records on `pages` pages so far."""
    parts = run.parts
    state = parts.checkpoints.get(kind.name).sync or {"began": parts.now(), "resume": None, "shown": 0, "pages": 0}
    began: datetime = state["began"]
    shown: int = state["shown"]
    pages: int = state.get("pages", 1)
    source = Source("sync", lists_all=True)

    def save(resume: Any) -> None:
        now = {**state, "resume": resume, "shown": shown, "pages": pages}
        parts.checkpoints.change(kind.name, lambda old: replace(old, sync=now))

    try:
        for page, _ in walk(run, kind, source, since=None, resume=state["resume"], bulk=False, save=save):
            shown += len(page.records)
            pages += 1
        if not shown and parts.records.count_living(kind):
            # Without permission, DrChrono answers with an empty list.
            raise ListEmpty(f"GET /api/{kind.name}", status=200, remedy="it shows no record, though the copy has some")
    except DrChronoError as error:
        if isinstance(error, NotFound | BadRequest):
            # DrChrono would refuse this position again.
            parts.checkpoints.change(kind.name, lambda old: replace(old, sync=None))
        run.failed("sync", kind.name, error)
        return

    def done(old: Checkpoint) -> Checkpoint:
        # Pages may shift. What a list of several pages missed, the list before it showed, or the next one will show.
        proven = began if pages <= 1 else old.synced_at
        until = listed_until(proven) if proven is not None else None
        return replace(old, sync=None, synced_at=began, complete_at=until)

    run.finished("sync", kind, done)
