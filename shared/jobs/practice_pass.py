"""One pass over a kind that has no list of changes: by the lists of the practice or its doctors, or patient by patient.

`shared.jobs.practice_lists` decides when a pass is due.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from shared.documents import Where
from shared.drchrono.ids import spellings
from shared.drchrono.kinds import KINDS, Kind
from shared.drchrono.lag import Evidence, listed_until, shown_until
from shared.errors import DeletionsHeld, DrChronoError
from shared.jobs.checkpoint import Checkpoint
from shared.jobs.children import lists_of
from shared.jobs.practice_sample import differs
from shared.jobs.practice_state import begun, save_state, state_of
from shared.jobs.practice_strategies import STRATEGIES, Strategy, doctors, narrowed, strategy_of, use
from shared.jobs.reconcile import notice_absent
from shared.jobs.run import Parts, Run
from shared.jobs.seen import name_of
from shared.jobs.walk import walk_pages
from shared.log import log
from shared.records.store import Source

# For how many patients lists are queued at once, if each patient's list must be requested.
CHUNK_PATIENTS = 200


def read_pass(run: Run, kind: Kind) -> None:
    """Continue the pass that is under way, or begin one. Raises Stopped and DeletionsHeld."""
    parts = run.parts
    parts.checkpoints.change(kind.name, lambda old: old if old.reconcile is not None else begun(old, parts))
    while True:
        checkpoint = parts.checkpoints.get(kind.name)
        strategy = strategy_of(checkpoint)
        try:
            if strategy.by == "patient":
                _queue_patients(run, kind)
            else:
                _read(run, kind, strategy)
            return
        except DrChronoError as error:
            if not narrowed(run, kind, strategy, error):
                # Not `run.failed`: the widest lists may time out while DrChrono answers everything else.
                run.postpone("reconcile", kind.name, error)
                return


def _read(run: Run, kind: Kind, strategy: Strategy) -> None:
    parts = run.parts
    state = state_of(parts, kind)
    if state["lists"] is None:
        lists = doctors(parts) if strategy.by == "doctor" else [None]
        # The pass shows every change made before this moment.
        changes = {"began": parts.now(), "lists": lists, "all_lists": len(lists), "resume": None}
        state = save_state(parts, kind, state, changes)
    name = name_of("reconcile", kind.name)
    source = Source("reconcile" if parts.checkpoints.get(kind.name).filled_at else "backfill")
    while state["lists"]:
        doctor = state["lists"][0]
        pages = parts.lists.list_practice(kind, doctor=doctor, page_size=strategy.page_size, resume=state["resume"])
        own: dict[str, Any] = {}

        def save(
            resume: Mapping[str, Any] | None, state: Mapping[str, Any] = state, own: Mapping[str, Any] = own
        ) -> None:
            left = state["lists"] if resume is not None else state["lists"][1:]
            save_state(parts, kind, state, {**own, "lists": left, "resume": resume})

        for number, (_, result) in enumerate(walk_pages(run, kind, source, pages, save=save), 1):
            parts.seen.keep(name, state["pages"] + number - 1, result.keys)
            own |= {"pages": state["pages"] + number, "requests": state["requests"] + number}
        state = state_of(parts, kind)
    _judge(run, kind, strategy, state)
    _finish(run, kind, strategy, state)


def _judge(run: Run, kind: Kind, strategy: Strategy, state: Mapping[str, Any]) -> None:
    """Queue the records that the pass did not show. Raises DeletionsHeld if too many are absent."""
    parts = run.parts
    try:
        notice_absent(run, kind, state, _covered(parts, strategy))
    except DeletionsHeld:
        # A later pass must show the same before it is believed.
        parts.seen.drop(name_of("reconcile", kind.name), state["pages"])
        parts.checkpoints.change(kind.name, lambda old: replace(old, reconcile=None))
        raise


def _covered(parts: Parts, strategy: Strategy) -> Iterator[list[Where]]:
    """Yield queries for the records that the lists of the pass cover: by doctor, only those that name a doctor."""
    if strategy.by == "practice":
        yield []
    else:
        for doctor in doctors(parts):
            for value in spellings(doctor):
                yield [Where("doctor", "==", value)]


def _finish(run: Run, kind: Kind, strategy: Strategy, state: Mapping[str, Any]) -> None:
    parts = run.parts
    proven = _proven(parts.checkpoints.get(kind.name), state)
    if strategy.by == "practice" and proven is not None:
        _complete_lists(run, kind, Evidence(shown_until(proven)))
    if parts.checkpoints.get(kind.name).filled_at is None and differs(run, kind):
        log("list.incomplete", "WARNING", kind=kind.name)
        use(parts, kind, STRATEGIES[-1])
        _queue_patients(run, kind)
        return
    _done(run, kind, state)


def _complete_lists(run: Run, kind: Kind, evidence: Evidence) -> None:
    """Complete the lists of single patients that events had queued before the pass. Raises Stopped.

    Reading such a list also marks the records of a deleted patient.
    """
    parts = run.parts
    for target in parts.queue.proved_lists(kind.name, evidence):
        run.check()
        copy = parts.records.copy(KINDS["patients"], target.id)
        parts.records.mark_orphans(kind, target.id, deleted=copy is not None and copy.deleted)
        run.counts["completed"] += parts.queue.complete_all({target: evidence})


def _proven(old: Checkpoint, state: Mapping[str, Any]) -> datetime | None:
    """Return the time up to which the passes have shown everything.

    Return None after a first pass whose pages may have shifted. What a pass over lists of several pages missed, the
    pass before it showed, or the next one will show.
    """
    began: datetime = state["began"]
    return began if state["requests"] <= state.get("all_lists", 0) else old.reconciled_at


def _done(run: Run, kind: Kind, state: Mapping[str, Any]) -> None:
    parts = run.parts
    parts.seen.drop(name_of("reconcile", kind.name), state_of(parts, kind)["pages"])
    began: datetime = state["began"]
    requests: int = state["requests"]

    def done(old: Checkpoint) -> Checkpoint:
        proven, now = _proven(old, state), parts.now()
        until = listed_until(proven) if proven is not None else None
        done = replace(old, reconcile=None, reconciled_at=began, complete_at=until, filled_at=now)
        return replace(done, pass_requests=requests)

    run.finished("reconcile", kind, done)
    log("pass.finished", kind=kind.name, count=requests)


def _queue_patients(run: Run, kind: Kind) -> None:
    """Queue the list of every stored patient, once the backfill of the patients has ended. Raises Stopped."""
    parts = run.parts
    if parts.checkpoints.get("patients").backfill is not None:
        return
    state = state_of(parts, kind)
    while True:
        run.check()
        patients = parts.records.keys(KINDS["patients"], after=state["after"], most=CHUNK_PATIENTS)
        parts.queue.enqueue(lists_of(patients, parts.now(), [kind.name]))
        if len(patients) < CHUNK_PATIENTS:
            break
        state = save_state(parts, kind, state, {"after": patients[-1]})
    _done(run, kind, {**state, "requests": 0})
