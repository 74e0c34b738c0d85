"""The ways in which the lists of the practice are asked for, and the change to a narrower one."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

from shared.drchrono.kinds import KINDS, Kind
from shared.errors import (
    BadRequest,
    DeletionsHeld,
    DrChronoError,
    MalformedAnswer,
    NotFound,
    ServerError,
    Unreachable,
)
from shared.jobs.checkpoint import Checkpoint
from shared.jobs.practice_state import begun, save_state, state_of
from shared.jobs.run import Parts, Run
from shared.jobs.seen import name_of
from shared.jobs.stopping import stops
from shared.log import log
from shared.queue.entries import Target
from shared.records.refresh import Known
from shared.records.store import Source

# A list that fails may do so for a moment. After this many attempts, a narrower one is tried.
ATTEMPTS = 2

# Lists that are tried to find out whether a way is answered.
PROBES = 3

_REFUSED = (BadRequest, NotFound)
_FAILED = (ServerError, Unreachable, MalformedAnswer)


@dataclass(frozen=True)
class Way:
    """How the records of a kind are listed. by: `practice`, `doctor` or `patient`."""

    name: str
    by: str
    page_size: int = 250


WAYS = (
    Way("practice", "practice"),
    Way("doctor", "doctor"),
    Way("doctor-125", "doctor", 125),
    Way("patient", "patient"),
)


def way_of(checkpoint: Checkpoint) -> Way:
    return next((way for way in WAYS if way.name == checkpoint.way), WAYS[0])


def narrowed(run: Run, kind: Kind, way: Way, error: DrChronoError) -> bool:
    """Whether the pass begins anew in a narrower way, which DrChrono answers where it does not answer this one."""
    parts = run.parts
    checkpoint = parts.checkpoints.get(kind.name)
    is_begun = bool((checkpoint.reconcile or {}).get("resume"))
    attempts = checkpoint.problems.get("reconcile", {}).get("attempts", 0) + 1
    if isinstance(error, _REFUSED) and is_begun:
        # Nothing says that this list is refused: the place where it is to go on is.
        save_state(parts, kind, state_of(parts, kind), {"resume": None})
    if not (isinstance(error, _REFUSED) and not is_begun) and not (isinstance(error, _FAILED) and attempts >= ATTEMPTS):
        return False
    for narrower in WAYS[WAYS.index(way) + 1 :]:
        if _answers(run, kind, narrower):
            log("list.narrowed", "WARNING", kind=kind.name, reason=error.reason)
            use(parts, kind, narrower)
            return True
    return False


def _answers(run: Run, kind: Kind, way: Way) -> bool:
    """Whether DrChrono answers one of the first lists of a way: one that fails for ever is not the kind's failure."""
    parts = run.parts
    if way.by == "doctor":
        owners = doctors(parts)[:PROBES]
    else:
        owners = parts.records.keys(KINDS["patients"], after=None, most=PROBES)
        if not owners:
            return True  # no list has to be read
    for owner in owners:
        run.check()
        with suppress(DrChronoError, DeletionsHeld), stops():
            if way.by == "patient":
                parts.children.run(Target(kind.name, owner, "patient"), Known(parts.now()), Source("reconcile"))
            else:
                next(parts.lists.list_practice(kind, doctor=owner, page_size=way.page_size), None)
            return True
    return False


def use(parts: Parts, kind: Kind, way: Way) -> None:
    state = state_of(parts, kind)
    parts.seen.drop(name_of("reconcile", kind.name), state["pages"])
    parts.checkpoints.change(kind.name, lambda old: replace(begun(old, parts), way=way.name).mended("reconcile"))


def doctors(parts: Parts) -> list[str]:
    return [key for key, _ in parts.records.living(KINDS["doctors"])]
