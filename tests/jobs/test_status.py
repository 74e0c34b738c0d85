"""`sync_status/<kind>`: what programs that read the copy may rely on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drchrono_reader.status import Status, status_of
from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.drchrono.lag import listed_until
from shared.jobs import backfill, claims, reconcile
from shared.jobs.checkpoint import Checkpoint
from shared.jobs.run import Run
from shared.jobs.slow_round import ROUND
from shared.jobs.status import publish, publish_all
from shared.jobs.stopping import Stopped
from shared.jobs.sync import sync
from shared.jobs.watermark import EARLIEST
from shared.queue.entries import Entry, Priority, Target
from shared.queue.work_queue import Pending
from simulator import Simulator
from tests.clinic import Clinic, simulator
from tests.jobs.test_sync import entries
from tests.mortal import Killed, MortalDocuments
from tests.records.test_ordering import NOON

MINUTE = timedelta(minutes=1)
CHILDREN = KINDS["patients"].children
LISTED = backfill.KIND_NAMES


@pytest.fixture(params=["guide", "live"])
def running(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    with simulator(form=request.param, patients=8, children=1) as running:
        yield running


def job(clinic: Clinic, work: Any) -> Run:
    """As `run_job` runs it."""
    run = Run(clinic.parts(), deadline=clinic.now() + timedelta(minutes=14))
    try:
        work(run)
    except Stopped:
        pass
    finally:
        publish_all(run.parts)
    return run


def told(clinic: Clinic, kind: str) -> Status:
    return status_of(kind, clinic.documents.get(f"sync_status/{kind}"))


def complete(clinic: Clinic) -> Clinic:
    """After a backfill of everything, and two syncs."""
    backfill.start(clinic.parts(), LISTED, EARLIEST)
    job(clinic, backfill.go_on)
    for _ in range(3):
        clinic.later(minutes=5)
        job(clinic, sync)
    return clinic


def test_before_a_backfill_nothing_is_claimed(running: Simulator, embedded: Documents) -> None:
    clinic = Clinic(running, embedded)
    job(clinic, sync)
    for name, kind in KINDS.items():
        status = told(clinic, name)
        assert (status.complete_until is not None) is kind.whole  # these need no backfill
        assert status.count is not None


def test_after_a_backfill_and_a_sync_every_kind_says_up_to_when_it_is_complete(
    running: Simulator, documents: Documents
) -> None:
    began = Clinic(running, documents).now()
    clinic = complete(Clinic(running, documents))
    assert clinic.differences() == []
    for kind in LISTED:
        status = told(clinic, kind)
        assert status.complete_until is not None
        assert began < status.complete_until <= listed_until(clinic.now())
        assert (status.pending, status.oldest_pending, status.problem) == (0, None, None)
        assert status.count == len(running.truth(kind))
    for kind in CHILDREN:
        status = told(clinic, kind)
        assert status.complete_until is not None
        assert status.last_full_pass is not None
        assert status.complete_until <= listed_until(status.last_full_pass)
    clinic.later(hours=1)  # records are counted once in it
    job(clinic, sync)
    assert all(told(clinic, kind).count == len(running.truth(kind)) for kind in KINDS)


def test_it_is_written_at_most_once_a_minute(running: Simulator, embedded: Documents) -> None:
    clinic = complete(Clinic(running, embedded))
    clinic.later(minutes=5)
    publish_all(clinic.parts())
    before = clinic.documents.get("sync_status/patients")
    clinic.queue.enqueue(entries(clinic, ["1"]))
    clinic.later(seconds=59)
    publish_all(clinic.parts())
    assert clinic.documents.get("sync_status/patients") == before
    clinic.later(seconds=1)
    publish_all(clinic.parts())
    assert told(clinic, "patients").pending == 1


def test_what_waits_bounds_the_claim_however_often_the_kind_is_listed(running: Simulator, embedded: Documents) -> None:
    clinic = complete(Clinic(running, embedded))
    key = min(running.truth("patients"))
    running.faults.set([{"match": {"path": f"/api/patients/{key}"}, "fault": "403"}], replace=True)
    # An event of a record that cannot be read, of a version that no list shows.
    seen = clinic.now()
    entry = Entry(
        Target("patients", key), "confirm", Priority.EVENT, seen, seen, seen, updated_at="2099-01-01T00:00:00"
    )
    clinic.queue.enqueue([entry])
    for _ in range(6):
        clinic.later(minutes=20)
        job(clinic, sync)
    status = told(clinic, "patients")
    assert status.pending == 1
    assert status.oldest_pending == seen
    assert status.complete_until is not None
    assert status.complete_until <= seen
    assert clinic.positions.get("patients").complete_at is not None
    assert told(clinic, "appointments").complete_until > seen + 100 * MINUTE  # type: ignore[operator]
    running.faults.set([], replace=True)


def test_a_record_that_cannot_be_kept_leaves_the_kind_without_a_new_claim(embedded: Documents) -> None:
    with simulator(form="guide", patients=4, appointments=0, notes=0, children=0) as running:
        running.change("patients", min(running.truth("patients")), {"address": "x" * 1_100_000}, webhook=False)
        clinic = complete(Clinic(running, embedded))
        assert told(clinic, "patients").complete_until is None
        assert told(clinic, "patients").pending == 1
        assert told(clinic, "appointments").complete_until is not None


def test_a_problem_and_held_deletions_are_told(running: Simulator, embedded: Documents) -> None:
    clinic = complete(Clinic(running, embedded))
    until = told(clinic, "patients").complete_until
    running.faults.set([{"match": {"path": r"/api/patients(_list)?\?"}, "fault": "403"}], replace=True)
    clinic.later(minutes=20)
    job(clinic, sync)
    problem = told(clinic, "patients").problem
    assert problem["reason"] == "forbidden"
    assert problem["since"] == clinic.positions.get("patients").problems["sync"]["since"]
    assert told(clinic, "patients").complete_until == until
    running.faults.set([], replace=True)
    clinic.later(hours=2)
    job(clinic, sync)
    assert told(clinic, "patients").problem is None
    for key in sorted(running.truth("patients"))[:6]:
        running.delete("patients", key, webhook=False)
    clinic.later(hours=2)
    reconcile.start(clinic.parts(), ("patients",))
    job(clinic, reconcile.go_on)
    assert told(clinic, "patients").problem["reason"] == "deletions_held"


def test_a_full_pass_says_when_it_began(running: Simulator, embedded: Documents) -> None:
    clinic = complete(Clinic(running, embedded))
    assert told(clinic, "patients").last_full_pass is None
    began = clinic.later(hours=1)
    reconcile.start(clinic.parts(), LISTED)
    job(clinic, reconcile.go_on)
    assert all(told(clinic, kind).last_full_pass == began for kind in LISTED)


def test_the_coverage_is_told_once_it_is_known(running: Simulator, embedded: Documents) -> None:
    clinic = Clinic(running, embedded)
    parts = clinic.parts()
    publish(parts, KINDS["patients"])
    assert told(clinic, "patients").coverage is None
    complete(clinic)
    coverage = told(clinic, "patients").coverage
    assert coverage == parts.coverage.of(KINDS["patients"]).as_document()
    assert coverage["doctors"] == len(running.truth("doctors"))
    # An id, what is stated and how many: no name of anybody.
    assert set(coverage) == {"user", "asked_at", "needs", "doctors", "doctors_seen", "verdict"}


def test_a_list_of_a_patient_that_was_never_read_leaves_its_kind_without_a_claim(
    running: Simulator, embedded: Documents
) -> None:
    patient = min(running.truth("patients"))
    running.faults.set(
        [
            {"match": {"path": rf"/api/medications\?.*patient={patient}&"}, "fault": "403"},
            # The list of the practice, and those of its doctors.
            {"match": {"path": r"/api/medications\?(?!.*patient=)"}, "fault": "answer", "status": 400, "body": {}},
        ],
        replace=True,
    )
    clinic = complete(Clinic(running, embedded))
    assert told(clinic, "medications").pending == 1
    assert told(clinic, "medications").complete_until is None
    assert told(clinic, "problems").complete_until is not None


def test_a_round_over_all_patients_moves_the_claim_of_their_lists(embedded: Documents) -> None:
    with simulator(form="guide", patients=4, appointments=0, notes=0, children=1) as running:
        clinic = complete(Clinic(running, embedded))
        first = told(clinic, "allergies").complete_until
        for _ in range(2 * (ROUND.days + 2)):
            clinic.later(days=1)
            job(clinic, sync)
        status = told(clinic, "allergies")
        assert first is not None
        assert status.complete_until is not None
        assert status.complete_until > first + timedelta(days=5)
        assert status.last_full_pass is not None
        assert listed_until(status.last_full_pass) == status.complete_until


def test_a_process_killed_at_any_operation_leaves_no_claim_without_its_checkpoint(embedded: Documents) -> None:
    with simulator(form="guide", patients=4, appointments=0, notes=0, children=0) as running:
        clinic = complete(Clinic(running, embedded))
        for last in range(1, 120, 3):
            clinic.later(minutes=20)
            try:
                job(Clinic(running, MortalDocuments(embedded, last, after=bool(last % 2))), sync)
            except Killed:
                clinic.later(minutes=3)
            until, position = told(clinic, "patients").complete_until, clinic.positions.get("patients")
            assert until is not None
            assert position.complete_at is not None
            assert until <= position.complete_at


instants = st.integers(0, 10_000).map(lambda seconds: NOON + timedelta(seconds=seconds))
pendings = st.builds(Pending, st.integers(0, 3), st.one_of(st.none(), instants), st.booleans())


@given(st.one_of(st.none(), instants), st.one_of(st.none(), instants), pendings, st.one_of(st.none(), instants))
def test_a_claim_never_goes_back_and_never_past_what_is_known(
    listed: datetime | None, ended: datetime | None, pending: Pending, before: datetime | None
) -> None:
    if listed is not None and ended is not None:
        ended = max(listed, ended)  # a walk ends after it began
    checkpoint = Checkpoint(complete_at=listed, filled_at=ended)
    for claim in (
        claims.of_listed(checkpoint, pending, before),
        claims.of_children(checkpoint, pending, listed, before),
    ):
        if claim == before:
            continue
        assert claim is not None
        assert listed is not None
        assert before is None or claim > before
        assert claim <= listed
        assert not pending.unstorable
        if pending.count:
            assert pending.oldest is not None
            assert claim < pending.oldest
