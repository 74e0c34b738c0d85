"""The strategies for reading the lists of the practice, and the change to a narrower one."""

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
from shared.records.outcome import Known
from shared.records.store import Source

# A failure may be temporary. After this many attempts, a narrower strategy is tried.
ATTEMPTS = 2

# How many lists are tried to find out whether DrChrono answers a strategy.
PROBES = 3

_REFUSED = (BadRequest, NotFound)
_FAILED = (ServerError, Unreachable, MalformedAnswer)


@dataclass(frozen=True)
class Strategy:
    """How the records of a kind are listed. by: `practice`, `doctor` or `patient`."""

    name: str
    by: str
    page_size: int = 250


STRATEGIES = (
    Strategy("practice", "practice"),
    Strategy("doctor", "doctor"),
    Strategy("doctor-125", "doctor", 125),
    Strategy("patient", "patient"),
)


def strategy_of(checkpoint: Checkpoint) -> Strategy:
    return next((strategy for strategy in STRATEGIES if strategy.name == checkpoint.strategy), STRATEGIES[0])


def narrowed(run: Run, kind: Kind, strategy: Strategy, error: DrChronoError) -> bool:
    """After `error`, switch to the next narrower strategy that DrChrono answers, if it is time to.

    Return whether the pass starts again with a narrower strategy. Raises Stopped.
    """
    parts = run.parts
    checkpoint = parts.checkpoints.get(kind.name)
    is_begun = bool((checkpoint.reconcile or {}).get("resume"))
    attempts = checkpoint.problems.get("reconcile", {}).get("attempts", 0) + 1
    if isinstance(error, _REFUSED) and is_begun:
        # DrChrono refuses the position. That does not mean that it refuses the list.
        save_state(parts, kind, state_of(parts, kind), {"resume": None})
    if not (isinstance(error, _REFUSED) and not is_begun) and not (isinstance(error, _FAILED) and attempts >= ATTEMPTS):
        return False
    for narrower in STRATEGIES[STRATEGIES.index(strategy) + 1 :]:
        if _answers(run, kind, narrower):
            log("list.narrowed", "WARNING", kind=kind.name, reason=error.reason)
            use(parts, kind, narrower)
            return True
    return False


def _answers(run: Run, kind: Kind, strategy: Strategy) -> bool:
    """Return whether DrChrono answers one of the first lists of a strategy. A single list may fail permanently."""
    parts = run.parts
    if strategy.by == "doctor":
        owners = doctors(parts)[:PROBES]
    else:
        owners = parts.records.keys(KINDS["patients"], after=None, most=PROBES)
        if not owners:
            return True  # there is no list to read
    for owner in owners:
        run.check()
        with suppress(DrChronoError, DeletionsHeld), stops():
            if strategy.by == "patient":
                parts.children.run(Target(kind.name, owner, "patient"), Known(parts.now()), Source("reconcile"))
            else:
                next(parts.lists.list_practice(kind, doctor=owner, page_size=strategy.page_size), None)
            return True
    return False


def use(parts: Parts, kind: Kind, strategy: Strategy) -> None:
    """Begin the pass again with `strategy`."""
    state = state_of(parts, kind)
    parts.seen.drop(name_of("reconcile", kind.name), state["pages"])
    parts.checkpoints.change(
        kind.name, lambda old: replace(begun(old, parts), strategy=strategy.name).recovered("reconcile")
    )


def doctors(parts: Parts) -> list[str]:
    return [key for key, _ in parts.records.living(KINDS["doctors"])]
