"""Medications, problems and allergies by the lists of the whole practice, and by what else DrChrono answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from itertools import count
from typing import Any

import pytest

from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.drchrono.lag import LONGEST_LAG, listed_until
from shared.jobs import backfill, practice_lists
from shared.jobs.checkpoint import Checkpoint
from shared.jobs.practice_sample import SAMPLE
from shared.jobs.practice_state import KIND_NAMES
from shared.jobs.practice_strategies import ATTEMPTS, strategy_of
from shared.jobs.run import Run
from shared.jobs.stopping import Stopped
from shared.jobs.sync import sync
from shared.queue.entries import Entry, Priority, Target
from shared.records.marks import marks_of_patient
from shared.records.storable import META
from shared.records.store import Source
from simulator import Simulator
from simulator.api.paging import Paging
from tests.clinic import Clinic, SlowAllowance, simulator
from tests.mortal import Killed, MortalDocuments

REFUSED = {"fault": "answer", "status": 400, "body": {"patient": ["This field is required."]}}


@pytest.fixture(params=["guide", "live"])
def running(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    with simulator(form=request.param, patients=30) as running:
        yield running


@pytest.fixture
def clinic(running: Simulator, embedded: Documents) -> Clinic:
    return Clinic(running, embedded)


def begin(clinic: Clinic) -> None:
    backfill.start(clinic.parts(), backfill.KIND_NAMES, date(2009, 1, 1))


def runs(clinic: Clinic, hours: float) -> None:
    for _ in range(max(1, int(hours * 12))):
        run = Run(clinic.parts(), deadline=clinic.now() + timedelta(minutes=4))
        with suppress(Stopped):
            sync(run)
        clinic.later(minutes=5)


def fail(clinic: Clinic, *rules: dict[str, Any]) -> None:
    clinic.simulator.faults.set(list(rules), replace=True)


def wide(kind: str, fault: dict[str, Any]) -> dict[str, Any]:
    return {"match": {"kind": kind, "wide": True}, **fault}


def strategies(clinic: Clinic) -> set[str]:
    return {strategy_of(clinic.positions.get(name)).name for name in KIND_NAMES}


def wait_for_lists(clinic: Clinic) -> int:
    """Queue the lists of all patients, not due for hours. Return how many."""
    now, patients = clinic.now(), clinic.simulator.truth("patients")
    targets = [Target(name, patient, "patient") for name in KIND_NAMES for patient in patients]
    due = now + timedelta(hours=9)
    clinic.queue.enqueue(Entry(one, "follows", Priority.CHILDREN, now, now, due) for one in targets)
    return len(targets)


def lists_waiting(clinic: Clinic) -> int:
    return sum(clinic.queue.count(name, by="patient") for name in KIND_NAMES)


def test_a_first_filling_takes_few_lists_of_the_practice_instead_of_three_a_patient(clinic: Clinic) -> None:
    begin(clinic)
    clinic.run(backfill.go_on)
    before = clinic.requests()
    clinic.run(practice_lists.go_on)
    # Lists of patients would be 90 requests. Five patients of each kind are compared.
    pages = sum(-(-len(clinic.simulator.truth(name)) // 50) for name in KIND_NAMES)
    assert clinic.requests() - before <= pages + len(KIND_NAMES) * SAMPLE
    runs(clinic, hours=0.2)
    assert clinic.differences() == []
    assert clinic.queue.waiting() == 0
    assert strategies(clinic) == {"practice"}


def test_a_service_that_refuses_them_is_asked_once_and_then_by_patient(clinic: Clinic) -> None:
    for name in KIND_NAMES:
        clinic.simulator.faults.set(
            [wide(name, REFUSED), {"match": {"path": f"/{name}?.*doctor="}, **REFUSED}], replace=False
        )
    begin(clinic)
    runs(clinic, hours=0.5)
    assert clinic.differences() == []
    assert strategies(clinic) == {"patient"}
    before = clinic.requests()
    runs(clinic, hours=0.2)
    assert clinic.requests() - before < 10
    assert all(clinic.positions.get(name).problems == {} for name in KIND_NAMES)


@pytest.mark.parametrize("fault", [{"fault": "504"}, {"fault": "reset"}])
def test_where_the_widest_times_out_the_lists_of_the_doctors_are_read(clinic: Clinic, fault: dict[str, Any]) -> None:
    fail(clinic, *(wide(name, fault) for name in KIND_NAMES))
    begin(clinic)
    runs(clinic, hours=0.5)
    assert clinic.differences() == []
    assert strategies(clinic) == {"doctor"}
    assert clinic.queue.waiting() == 0


@pytest.mark.parametrize(("attempts", "strategy"), [(ATTEMPTS - 1, "practice"), (ATTEMPTS, "doctor")])
def test_a_list_that_fails_for_a_moment_is_asked_for_again_as_it_is(
    clinic: Clinic, attempts: int, strategy: str
) -> None:
    times = 2 * attempts  # each attempt sends its request twice
    fail(clinic, *(wide(name, {"fault": "504", "times": times}) for name in KIND_NAMES))
    begin(clinic)
    runs(clinic, hours=0.5)
    assert [rule["applied"] for rule in clinic.simulator.faults.as_json()] == [times] * len(KIND_NAMES)
    assert strategies(clinic) == {strategy}
    assert clinic.differences() == []


def test_where_only_small_pages_are_answered_these_are_read(clinic: Clinic) -> None:
    fail(clinic, {"match": {"kind": "problems", "read": "list", "min_page_size": 126}, "fault": "504"})
    begin(clinic)
    runs(clinic, hours=0.5)
    assert strategy_of(clinic.positions.get("problems")).name == "doctor-125"
    assert clinic.differences() == []


def test_an_outage_makes_no_way_narrower(clinic: Clinic) -> None:
    begin(clinic)
    runs(clinic, hours=0.2)
    fail(clinic, {"match": {"path": "/api/"}, "fault": "500"})
    clinic.later(days=1)
    runs(clinic, hours=3)
    fail(clinic)
    clinic.later(hours=1)
    runs(clinic, hours=0.5)
    assert strategies(clinic) == {"practice"}
    clinic.settle()
    assert clinic.differences() == []


def test_what_nobody_announced_is_seen_within_a_day(clinic: Clinic) -> None:
    begin(clinic)
    runs(clinic, hours=0.2)
    edited, deleted = sorted(clinic.simulator.truth("allergies"))[:2]
    clinic.simulator.change("allergies", edited, webhook=False)
    clinic.simulator.delete("allergies", deleted, webhook=False)
    created = str(clinic.simulator.create("problems", webhook=False)["id"])
    clinic.later(hours=24)
    runs(clinic, hours=0.5)
    clinic.settle()
    assert created in clinic.stored("problems")
    assert clinic.differences() == []


def test_an_empty_list_of_the_practice_deletes_nothing(clinic: Clinic) -> None:
    begin(clinic)
    runs(clinic, hours=0.2)
    clinic.simulator.visibility.set([{"kind": "allergies"}])
    for _ in range(3):
        clinic.later(hours=24)
        runs(clinic, hours=0.5)
    assert len(clinic.stored("allergies")) == len(clinic.simulator.truth("allergies"))
    assert clinic.absences.held_since(KINDS["allergies"]) is not None
    clinic.simulator.visibility.set([])
    clinic.later(hours=25)
    runs(clinic, hours=1.5)
    clinic.settle()
    assert clinic.differences() == []
    assert clinic.absences.held_since(KINDS["allergies"]) is None


def test_a_list_that_leaves_records_out_is_not_trusted(clinic: Clinic) -> None:
    """A service whose wide list shows one page and no link to the next."""
    fail(clinic, wide("medications", {"fault": "answer", "status": 200, "body": {"results": [], "next": None}}))
    begin(clinic)
    runs(clinic, hours=0.5)
    clinic.settle()
    assert strategy_of(clinic.positions.get("medications")).name == "patient"
    assert clinic.differences() == []


def test_a_pass_that_dies_anywhere_goes_on_and_repeats_a_page_at_most(running: Simulator, embedded: Documents) -> None:
    clinic = Clinic(running, embedded)
    begin(clinic)
    clinic.run(backfill.go_on)
    pages = sum(-(-len(running.truth(name)) // 50) for name in KIND_NAMES)
    before, kills = clinic.requests(), 0
    for last in count(10, 3):
        mortal = Clinic(running, MortalDocuments(embedded, last, after=bool(last % 2)))
        try:
            mortal.run(practice_lists.go_on, seconds=240)
            break
        except Killed:
            kills += 1
            clinic.later(minutes=3)
    assert kills > 3
    assert [one for one in clinic.differences() if one.split(":")[0] in KIND_NAMES] == []
    # A comparison with patients' lists is begun anew as a whole.
    assert clinic.requests() - before <= pages + kills * (1 + SAMPLE) + len(KIND_NAMES) * SAMPLE


def test_a_pass_strikes_what_events_had_queued_before_it(clinic: Clinic) -> None:
    begin(clinic)
    wait_for_lists(clinic)
    clinic.later(minutes=2)
    runs(clinic, hours=0.5)
    assert clinic.queue.waiting() == 0
    assert clinic.differences() == []


def test_a_pass_that_replaces_the_lists_of_a_deleted_patient_marks_its_records(clinic: Clinic) -> None:
    begin(clinic)
    runs(clinic, hours=0.5)
    patient = str(next(iter(clinic.simulator.truth("problems").values()))["patient"])
    now = clinic.now()
    clinic.records.mark_deleted(KINDS["patients"], patient, now, Source("sync"), "deleted_flag", stated=True)
    marked = marks_of_patient(KINDS["patients"], patient, now)
    clinic.queue.enqueue(replace(one, due=now + timedelta(hours=9)) for one in marked)
    for _ in range(2):  # a first pass over several pages proves nothing
        clinic.later(minutes=2)
        practice_lists.start(clinic.parts())
        clinic.run(practice_lists.go_on)
    assert lists_waiting(clinic) == 0
    owned = [
        document[META].get("patient_deleted")
        for name in KIND_NAMES
        for _, document in clinic.documents.query(name)
        if str(document["patient"]) == patient
    ]
    assert owned
    assert all(owned)


def test_an_empty_list_of_the_practice_completes_no_list_of_a_patient(clinic: Clinic) -> None:
    begin(clinic)
    runs(clinic, hours=1)
    queued = wait_for_lists(clinic)
    empty = {"fault": "answer", "status": 200, "body": {"results": [], "next": None, "previous": None}}
    fail(clinic, *(wide(name, empty) for name in KIND_NAMES))
    for _ in range(2):
        clinic.later(minutes=2)
        practice_lists.start(clinic.parts())
        clinic.run(practice_lists.go_on)
    assert lists_waiting(clinic) == queued


def test_a_pass_that_may_be_older_than_the_change_completes_no_list(clinic: Clinic) -> None:
    begin(clinic)
    runs(clinic, hours=1)
    queued = wait_for_lists(clinic)
    clinic.later(seconds=LONGEST_LAG.total_seconds() - 1)
    practice_lists.start(clinic.parts())
    clinic.run(practice_lists.go_on)
    assert lists_waiting(clinic) == queued


def test_wherever_a_pass_dies_no_list_of_a_deleted_patient_is_completed_before_its_records_are_marked(
    running: Simulator, embedded: Documents
) -> None:
    clinic = Clinic(running, embedded)
    begin(clinic)
    runs(clinic, hours=1)
    patient = str(next(iter(running.truth("problems").values()))["patient"])
    now = clinic.now()
    clinic.records.mark_deleted(KINDS["patients"], patient, now, Source("sync"), "deleted_flag", stated=True)
    marked = marks_of_patient(KINDS["patients"], patient, now)
    clinic.queue.enqueue(replace(one, due=now + timedelta(hours=9)) for one in marked)
    clinic.later(minutes=2)
    practice_lists.start(clinic.parts())
    kills = 0
    for last in count(1):
        mortal = Clinic(running, MortalDocuments(embedded, last, after=bool(last % 2)))
        try:
            mortal.run(practice_lists.go_on)
        except Killed:
            kills += 1
        for name in KIND_NAMES:
            owned = [one[META] for _, one in embedded.query(name) if str(one["patient"]) == patient]
            completed = clinic.queue.get(Target(name, patient, "patient")) is None
            assert not completed or all(meta.get("patient_deleted") for meta in owned)
        if not lists_waiting(clinic):
            break
        clinic.later(minutes=3)
    assert kills > 5


def test_passes_replace_the_lists_of_many_patients_who_change_at_once(embedded: Documents) -> None:
    with simulator(form="live", patients=150) as running:
        clinic = Clinic(running, embedded)
        begin(clinic)
        runs(clinic, hours=1)
        assert strategies(clinic) == {"practice"}
        before = clinic.requests()
        now = clinic.now()
        targets = [Target(name, patient, "patient") for name in KIND_NAMES for patient in running.truth("patients")]
        clinic.queue.enqueue(Entry(one, "follows", Priority.CHILDREN, now, now, now) for one in targets)
        runs(Clinic(running, embedded, SlowAllowance(clinic.sleep, seconds=6)), hours=1)
        assert clinic.queue.waiting() == 0
        assert clinic.differences() == []
        assert clinic.requests() - before < len(targets) / 3


def test_passes_cost_no_more_than_their_share(clinic: Clinic) -> None:
    parts = replace(clinic.parts(), pass_requests_a_day=300.0)
    day = timedelta(days=1)
    for requests, interval in ((0, day), (100, day), (150, 1.5 * day), (1000, 10 * day)):
        assert practice_lists._interval(parts, Checkpoint(pass_requests=requests)) == interval


def test_one_patients_list_that_fails_for_ever_keeps_no_kind_from_being_read(clinic: Clinic) -> None:
    patient = min(clinic.simulator.truth("patients"))
    fail(clinic, {"match": {"path": rf"patient={patient}(&|$)"}, "fault": "403"})
    begin(clinic)
    runs(clinic, hours=0.2)
    assert strategies(clinic) == {"practice"}
    assert [one for one in clinic.differences() if one.split(":")[0] in KIND_NAMES] == []


def test_a_first_pass_whose_pages_shift_is_repeated_before_anything_is_claimed(
    running: Simulator, clinic: Clinic
) -> None:
    """A deletion moves a record to a page that was read already, and the sample of patients need not show it."""
    while len(running.truth("allergies")) < 130:
        running.create("allergies", webhook=False)
    running.lists.paging = Paging(method="offset", order="oldest")
    gone = next(iter(running.truth("allergies")))
    act = {"action": "delete", "kind": "allergies", "id": gone, "webhook": False}
    fail(clinic, {"match": {"kind": "allergies", "wide": True, "page": 1}, "fault": "then", "acts": [act], "times": 1})
    begin(clinic)
    while clinic.positions.get("allergies").reconciled_at is None:
        runs(clinic, hours=0.1)
    assert running.faults.as_json()[0]["applied"] == 1
    first = clinic.positions.get("allergies")
    assert first.reconciled_at is not None
    assert first.complete_at is None
    assert clinic.positions.get("medications").complete_at is not None  # one page
    runs(clinic, hours=0.5)
    again = clinic.positions.get("allergies")
    assert again.complete_at == listed_until(first.reconciled_at)
    assert [one for one in clinic.differences() if one.startswith("allergies")] == []


def test_every_kind_is_filled_before_the_first_one_is_proved(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(clinic)
    clinic.run(backfill.go_on)
    first = KIND_NAMES[0]
    now = clinic.now()
    clinic.positions.change(first, lambda old: replace(old, filled_at=now, reconciled_at=now, complete_at=None))
    passes: list[str] = []
    monkeypatch.setattr(practice_lists, "read_pass", lambda run, kind: passes.append(kind.name))
    clinic.run(practice_lists.go_on)
    assert passes == [*KIND_NAMES[1:], first]
