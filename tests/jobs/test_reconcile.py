"""The reconciliation: what vanished without an event is found, and a fault that looks like it deletes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.jobs import reconcile
from shared.jobs.reconcile import notice_absent
from shared.jobs.run import Run
from shared.jobs.sync import sync
from shared.queue.entries import Target
from shared.records.outcome import Known
from shared.records.store import Source
from simulator import Simulator
from tests.clinic import Clinic, simulator
from tests.jobs.test_sync import entries, filled
from tests.mortal import Killed, MortalDocuments


@pytest.fixture(params=["guide", "live"])
def running(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    with simulator(form=request.param) as running:
        yield running


@pytest.fixture
def clinic(running: Simulator, documents: Documents) -> Clinic:
    return filled(Clinic(running, documents))


def reconciled(clinic: Clinic) -> Run:
    reconcile.start(clinic.parts(), ("patients", "appointments", "clinical_notes"))
    return clinic.run(reconcile.go_on)


def test_a_record_that_vanished_without_an_event_becomes_a_tombstone_after_two_single_reads(clinic: Clinic) -> None:
    gone = [
        ("patients", min(clinic.simulator.truth("patients"))),
        ("appointments", min(clinic.simulator.truth("appointments"))),
    ]
    for kind, key in gone:
        clinic.simulator.delete(kind, key, webhook=False)
    clinic.later(days=1)
    reconciled(clinic)
    clinic.settle()
    clinic.settle()
    for kind, key in gone:
        document = clinic.documents.get(f"{kind}/{key}")
        assert document is not None
        assert document["_sync"]["deleted"] is True
    assert [key for key in clinic.differences() if key.split(":")[0] in ("patients", "appointments")] == []
    assert clinic.positions.get("patients").reconciled_at is not None
    assert list(clinic.documents.query("sync_state", fields=["ids"])) != []


def test_a_pass_over_an_unchanged_clinic_writes_no_record_and_marks_nothing(clinic: Clinic) -> None:
    run = reconciled(clinic)
    assert (run.counts["store"], run.counts["absent"]) == (0, 0)
    assert clinic.queue.waiting() == 0


def test_a_record_that_was_never_heard_of_is_stored_by_the_way(clinic: Clinic) -> None:
    clinic.simulator.create("patients", webhook=False)
    reconciled(clinic)
    assert [key for key in clinic.differences() if key.startswith("patients")] == []


def test_when_too_much_is_absent_nothing_is_done_and_it_says_so(
    embedded: Documents, capsys: pytest.CaptureFixture[str]
) -> None:
    with simulator(form="guide", patients=60, appointments=0, notes=0, children=0) as running:
        clinic = filled(Clinic(running, embedded))
        for key in sorted(running.truth("patients"))[:31]:
            running.delete("patients", key, webhook=False)
        capsys.readouterr()
        run = reconciled(clinic)
        assert run.unfinished == {("reconcile", "patients"): "deletions_held"}
        assert '"message": "deletions.held"' in capsys.readouterr().out
        assert len(clinic.stored("patients")) == 60
        assert clinic.queue.waiting() == 0
        position = clinic.positions.get("patients")
        assert position.problem is not None
        assert position.problem["reason"] == "deletions_held"
        complete_at = position.complete_at
        clinic.later(hours=1)
        clinic.run(sync)
        assert clinic.positions.get("patients").complete_at == complete_at

        clinic.absences.accept(KINDS["patients"])
        clinic.later(hours=2)
        reconciled(clinic)
        clinic.settle()
        assert clinic.differences() == []
        assert clinic.positions.get("patients").problem is None


def test_a_pass_killed_at_any_step_and_taken_up_later_deletes_only_what_is_gone(embedded: Documents) -> None:
    with simulator(form="guide", patients=8, notes=3, children=0) as running:
        clinic = filled(Clinic(running, embedded))
        for last in range(1, 400, 7):
            reconcile.start(clinic.parts(), ("patients", "appointments", "clinical_notes"))
            try:
                Clinic(running, MortalDocuments(embedded, last, after=bool(last % 2))).run(reconcile.go_on)
            except Killed:
                clinic.later(hours=2)
                clinic.run(reconcile.go_on)
        deleted = str(running.delete("patients", webhook=False)["id"])
        clinic.later(hours=2)
        reconciled(clinic)
        clinic.settle()
        clinic.settle()
        assert deleted not in clinic.stored("patients")
        assert clinic.differences() == []


def test_a_changed_patient_that_a_pass_shows_first_has_its_lists_looked_at(clinic: Clinic) -> None:
    medication = clinic.simulator.change("medications", webhook=False)
    patient = clinic.simulator.truth("medications")[str(medication["id"])]["patient"]
    clinic.simulator.change("patients", patient, webhook=False)
    clinic.queue.enqueue(entries(clinic, [str(patient)]))  # its event could not be worked off
    clinic.later(seconds=10)
    reconciled(clinic)
    clinic.settle()
    assert clinic.differences() == []


def test_records_of_a_permission_that_is_lost_below_the_limit_come_back_with_it(embedded: Documents) -> None:
    """Where other records of the kind are shown, no answer tells a permission that is lost for some from a deletion.

    So many and no more are marked, and the first one that is there again has the others looked at.
    """
    with simulator(form="guide", patients=30, appointments=0, notes=0, children=0) as running:
        clinic = filled(Clinic(running, embedded))
        hidden = sorted(running.truth("patients"))[:14]  # of 30: less than half
        running.visibility.set([{"kind": "patients", "patient": key, "single": "404"} for key in hidden])
        clinic.later(days=1)
        reconciled(clinic)
        for _ in range(3):
            clinic.settle()
        assert len(clinic.stored("patients")) == 30 - len(hidden)
        assert clinic.absences.held_since(KINDS["patients"]) is None
        running.visibility.set([])
        clinic.later(hours=2)
        change = {"nick_name": "there again"}
        running.change("patients", hidden[0], change, webhook=False)
        clinic.later(hours=1)
        for _ in range(3):
            clinic.settle()
        assert clinic.differences() == []


def test_what_was_fetched_since_the_pass_began_is_not_absent_from_it(clinic: Clinic) -> None:
    reconcile.start(clinic.parts(), ("patients",))
    key = str(clinic.simulator.create("patients", webhook=False)["id"])
    clinic.later(seconds=1)
    clinic.refresh().run(Target("patients", key), Known(clinic.now()), Source("webhook"))
    clinic.simulator.delete("patients", key, webhook=False)
    run = clinic.run(reconcile.go_on)
    assert clinic.positions.get("patients").reconciled_at is not None
    assert run.counts["absent"] == 0


def test_what_was_read_since_a_pass_began_is_not_absent_from_it(embedded: Documents) -> None:
    kind = KINDS["patients"]
    with simulator(patients=0) as running:
        clinic = Clinic(running, embedded)
        began = clinic.now()
        for key, ago in (("1", timedelta(microseconds=1)), ("2", timedelta(0)), ("3", timedelta(minutes=1))):
            clinic.records.pages.store(kind, [{"id": key}], began - ago, Source("sync"))
        run = Run(clinic.parts(), deadline=began + timedelta(hours=1))
        run.parts.seen.keep("patients", 0, ["3"])
        notice_absent(run, kind, {"began": began, "pages": 1})
        assert clinic.queue.keys_of("patients") == {"1"}
        assert run.counts["absent"] == 1
