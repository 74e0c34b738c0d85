"""The state of a pass over the lists of the practice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shared.drchrono.kinds import KINDS, Kind
from shared.jobs.checkpoint import Checkpoint
from shared.jobs.run import Parts
from shared.jobs.stopping import Stopped

KIND_NAMES = tuple(name for name, kind in KINDS.items() if kind.listed_by == "patient")


def begun(old: Checkpoint, parts: Parts) -> Checkpoint:
    """Return the checkpoint with a new pass.

    The fields of its state: began, changed: when the pass began, and when the state was last saved. lists: the lists
    still to be read, the current one first; None until they are known. all_lists: how many there were. resume: the
    position of the current list's next page. pages: how many pages of ids are kept. requests: how many pages were read.
    after: by patient, the last patient whose list was queued.
    """
    now = parts.now()
    state = {"began": now, "changed": now, "lists": None, "all_lists": 0, "resume": None, "pages": 0, "requests": 0}
    return replace(old, reconcile={**state, "after": None})


def state_of(parts: Parts, kind: Kind) -> dict[str, Any]:
    """Return the state of the pass. Raises Stopped if the pass was ended meanwhile."""
    state = parts.checkpoints.get(kind.name).reconcile
    if state is None:
        raise Stopped("restarted")
    return state


def save_state(parts: Parts, kind: Kind, state: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Save the state with `changes`, and return it. Raises Stopped if another pass has begun since."""
    saved = {**state, **changes, "changed": parts.now()}

    def work(old: Checkpoint) -> Checkpoint:
        if old.reconcile is None or old.reconcile["began"] != state["began"]:
            raise Stopped("restarted")
        return replace(old, reconcile=saved)

    parts.checkpoints.change(kind.name, work)
    return saved
