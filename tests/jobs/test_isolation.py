"""Whatever fails for ever costs its own progress only, stays visible, and goes on when its cause is gone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from itertools import product
from typing import Any

import pytest

from functions.store_record import handle
from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.jobs import backfill, reconcile
from shared.jobs.health import FAILURES_IN_A_ROW
from shared.jobs.practice_state import KIND_NAMES as CHILD_KINDS
from shared.jobs.run import Run
from shared.jobs.stopping import Stopped
from shared.jobs.sync import MANY, changes, sync
from shared.jobs.worklist import retry_failed
from shared.queue.entries import Entry, Priority, Target
from shared.records.outcome import Done, Known
from shared.records.refresh import Refresh
from shared.records.store import Source
from shared.webhooks.events import Change
from simulator import Simulator
from tests.clinic import Allowance, Clinic, SlowAllowance, simulator
from tests.functions.test_store_record import push
from tests.jobs.test_sync import entries, filled

FORMS = ("guide", "live")
LISTED = ("patients", "appointments", "clinical_notes")
# How a list of each kind is asked for, in every form.
LISTS = {
    "patients": r"/api/patients(_list)?\?",
    "appointments": r"/api/appointments(_list)?\?",
    "clinical_notes": r"/api/clinical_notes(_list)?\?(?!.*appointment=)",
}


def both_stores(names: str, cases: Iterable[tuple[Any, ...]], *in_firestore: tuple[Any, ...]) -> pytest.MarkDecorator:
    """All cases on the embedded store, and those on Firestore as well: there each takes ten times as long."""
    embedded = [("embedded", *case) for case in cases]
    firestore = [pytest.param("firestore_documents", *case, marks=pytest.mark.emulator) for case in in_firestore]
    return pytest.mark.parametrize(f"store, {names}", [*embedded, *firestore], indirect=["store"])


@pytest.fixture
def store(request: pytest.FixtureRequest) -> Documents:
    return request.getfixturevalue(request.param)  # type: ignore[no-any-return]


@pytest.fixture(params=FORMS)
def running(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    with simulator(form=request.param, patients=12) as running:
        yield running


@pytest.fixture
def clinic(running: Simulator, documents: Documents) -> Clinic:
    return filled(Clinic(running, documents))


@pytest.fixture
def embedded_clinic(running: Simulator, embedded: Documents) -> Clinic:
    """Where the cases are many, and each takes hours of runs; one of them runs on Firestore as well."""
    return filled(Clinic(running, embedded))


def fail(clinic: Clinic, path: str, fault: str) -> None:
    clinic.simulator.faults.set([{"match": {"path": path}, "fault": fault}], replace=True)


def runs(clinic: Clinic, hours: float) -> list[Run]:
    """A sync every five minutes, as the scheduler starts it."""
    done = []
    for _ in range(int(hours * 12)):
        run = Run(clinic.parts(), deadline=clinic.now() + timedelta(minutes=4))
        with suppress(Stopped):
            sync(run)
        done.append(run)
        clinic.later(minutes=5)
    return done


def problem(clinic: Clinic, kind: str, job: str = "sync") -> dict[str, Any]:
    return clinic.positions.get(kind).problems.get(job, {})


@pytest.mark.parametrize("broken", LISTED)
@pytest.mark.parametrize("fault", ["500", "html", "garbage", "403", "401"])
def test_a_list_that_fails_for_ever_keeps_no_other_kind_from_being_listed(
    embedded_clinic: Clinic, broken: str, fault: str
) -> None:
    a_list_fails(embedded_clinic, broken, fault, hours=6)


@pytest.mark.emulator
def test_a_list_that_fails_for_ever_keeps_no_other_kind_from_being_listed_on_firestore(
    running: Simulator, firestore_documents: Documents
) -> None:
    a_list_fails(filled(Clinic(running, firestore_documents)), "appointments", "500", hours=2)


def a_list_fails(clinic: Clinic, broken: str, fault: str, hours: float) -> None:
    fail(clinic, LISTS[broken], fault)
    began = clinic.now()
    for kind in LISTED:
        clinic.simulator.change(kind, webhook=False)
    clinic.later(minutes=61)
    made = runs(clinic, hours)
    for kind in LISTED:
        synced_at = clinic.positions.get(kind).synced_at
        assert synced_at is not None
        if kind != broken:
            assert clinic.now() - synced_at < timedelta(minutes=70)
            assert [key for key in clinic.differences() if key.startswith(f"{kind}:")] == []
    # It is told, with growing pauses between the attempts.
    assert problem(clinic, broken)["since"] - began < timedelta(minutes=70)
    assert 3 <= problem(clinic, broken)["attempts"] <= 12
    assert all(("sync", broken) in run.unfinished for run in made[1:])
    clinic.simulator.faults.set([], replace=True)
    runs(clinic, hours=1.5)
    clinic.settle()
    assert clinic.differences() == []
    assert problem(clinic, broken) == {}


def test_where_only_the_list_of_a_crowded_kind_is_broken_its_records_are_read_singly(clinic: Clinic) -> None:
    keys = sorted(clinic.simulator.truth("appointments"))[: MANY + 2]
    for key in keys:
        clinic.simulator.change("appointments", key, webhook=False)
    clinic.queue.enqueue(entries(clinic, keys, "appointments"))
    clinic.later(seconds=40)
    fail(clinic, LISTS["appointments"], "500")
    runs(clinic, hours=0.1)
    assert clinic.queue.count("appointments") == 0
    assert [key for key in clinic.differences() if key.startswith("appointments:")] == []


def test_where_single_records_of_a_kind_are_broken_the_list_shows_them(clinic: Clinic) -> None:
    keys = sorted(clinic.simulator.truth("patients"))[:8]
    for key in keys:
        clinic.simulator.change("patients", key, webhook=False)
    clinic.queue.enqueue(entries(clinic, keys))
    clinic.later(seconds=40)
    fail(clinic, r"/api/patients/", "500")
    runs(clinic, hours=0.2)
    assert [key for key in clinic.differences() if key.startswith("patients:")] == []
    assert clinic.queue.count("patients") == 0


def test_where_neither_the_list_nor_the_records_of_a_kind_can_be_read_few_are_tried(clinic: Clinic) -> None:
    keys = sorted(clinic.simulator.truth("patients"))
    assert len(keys) == 12
    other = min(clinic.simulator.truth("appointments"))
    clinic.simulator.change("appointments", other, webhook=False)
    clinic.queue.enqueue([*entries(clinic, keys), *entries(clinic, [other], "appointments")])
    clinic.later(seconds=40)
    fail(clinic, r"/api/patients", "500")
    runs(clinic, hours=0.1)
    # Five, and each once more after a moment. No patient was read singly before.
    assert clinic.simulator.stats()["by_endpoint"]["GET /api/patients/{id}"] == 2 * FAILURES_IN_A_ROW
    waiting = [entry for key in keys if (entry := clinic.queue.get(Target("patients", key)))]
    assert Counter(entry.attempts for entry in waiting) == {1: FAILURES_IN_A_ROW, 0: 12 - FAILURES_IN_A_ROW}
    assert clinic.queue.get(Target("appointments", other)) is None
    clinic.simulator.faults.set([], replace=True)
    runs(clinic, hours=0.5)
    assert clinic.queue.count("patients") == 0


def test_what_failed_before_is_no_sign_of_an_outage(clinic: Clinic) -> None:
    fail(clinic, r"/api/(patients|appointments)/", "500")
    kinds = ("patients", "appointments")
    failing = [
        replace(entry, attempts=1, priority=Priority.RETRY)
        for kind in kinds
        for entry in entries(clinic, sorted(clinic.simulator.truth(kind))[:FAILURES_IN_A_ROW], kind)
    ]
    clinic.queue.enqueue(failing)
    clinic.later(seconds=40)
    run = clinic.run(retry_failed)  # it does not end as stopped
    assert run.health.unreadable == set()
    attempts = [entry.attempts for one in failing if (entry := clinic.queue.get(one.target))]
    assert attempts == [2] * len(failing)


@both_stores(
    "form, fault",
    [("live", "500"), ("live", "401"), ("guide", "403"), ("guide", "garbage")],
    ("live", "401"),
)
def test_records_that_fail_for_ever_take_a_bounded_part_of_each_run(store: Documents, form: str, fault: str) -> None:
    with simulator(form=form, patients=60) as running:
        clinic = filled(Clinic(running, store))
        patients = sorted(running.truth("patients"))
        poison = patients[:26]
        fail(clinic, "/api/patients/(" + "|".join(map(re.escape, poison)) + r")(\?|$)", fault)
        clinic.queue.enqueue(entries(clinic, poison))
        clinic.later(minutes=1)
        begun = clinic.requests()
        for number in range(12):
            healthy = patients[30 + number]
            running.change("patients", healthy, webhook=False)
            clinic.queue.enqueue(entries(clinic, [healthy]))
            running.change("appointments", webhook=False)
            runs(clinic, hours=0.1)
        clinic.settle()
        assert [key for key in clinic.differences() if key not in [f"patients:{one}" for one in poison]] == []
        # Each record costs a few attempts an hour at most, and a refreshed token only now and then.
        assert clinic.requests() - begun < 12 * 50
        running.faults.set([], replace=True)
        clinic.later(hours=25)
        runs(clinic, hours=2)
        assert clinic.queue.waiting() == 0
        assert clinic.differences() == []


def test_many_lists_of_patients_stop_neither_what_failed_before_nor_a_pass(embedded: Documents) -> None:
    with simulator(form="guide", patients=60) as running:
        wide = {"fault": "answer", "status": 400, "body": {}}
        running.faults.set([{"match": {"kind": name, "wide": True}, **wide} for name in CHILD_KINDS], replace=True)
        clinic = filled(Clinic(running, embedded))
        (changed, *_) = sorted(running.truth("patients"))
        running.change("patients", changed, webhook=False)
        clinic.queue.enqueue(replace(one, attempts=1, priority=Priority.RETRY) for one in entries(clinic, [changed]))
        targets = [Target(name, patient, "patient") for name in CHILD_KINDS for patient in running.truth("patients")]
        clinic.later(minutes=1)
        now = clinic.now()
        clinic.queue.enqueue(Entry(one, "follows", Priority.CHILDREN, now, now, now) for one in targets)
        reconcile.start(clinic.parts(), ("patients",))
        with pytest.raises(Stopped):
            Clinic(running, embedded, SlowAllowance(clinic.sleep, seconds=6)).run(sync, seconds=600)
        assert clinic.queue.count("medications", by="patient") > 0  # there was no time for all of them
        assert clinic.queue.get(Target("patients", changed)) is None
        assert clinic.positions.get("patients").reconcile is None


@both_stores("broken, fault", product(LISTED, ["500", "403", "garbage"]), ("appointments", "403"))
def test_a_backfill_that_fails_in_the_middle_keeps_its_checkpoint_and_says_so(
    running: Simulator, store: Documents, broken: str, fault: str
) -> None:
    clinic = Clinic(running, store)
    backfill.start(clinic.parts(), backfill.KIND_NAMES, date(2020, 1, 1))
    fail(clinic, LISTS[broken], fault)
    run = clinic.run(backfill.go_on)
    assert ("backfill", broken) in run.unfinished
    position = clinic.positions.get(broken)
    assert position.backfill is not None
    assert position.backfilled_at is None
    # A sync that works clears its own problem only.
    clinic.simulator.faults.set([], replace=True)
    assert changes(Run(clinic.parts(), clinic.now() + timedelta(hours=1)), KINDS[broken], force=True)
    assert problem(clinic, broken, "backfill") != {}
    assert problem(clinic, broken) == {}
    runs(clinic, hours=2)
    assert clinic.positions.get(broken).backfilled_at is not None
    assert clinic.differences() == []


def test_a_pass_of_a_reconciliation_that_fails_goes_on_later_with_what_it_has_seen(clinic: Clinic) -> None:
    gone = min(clinic.simulator.truth("patients"))
    clinic.simulator.delete("patients", gone, webhook=False)
    clinic.later(hours=1)
    fail(clinic, LISTS["patients"], "500")
    reconcile.start(clinic.parts(), LISTED)
    run = clinic.run(reconcile.go_on)
    assert run.unfinished == {("reconcile", "patients"): "server_error"}
    assert clinic.positions.get("appointments").reconciled_at is not None
    clinic.simulator.faults.set([], replace=True)
    runs(clinic, hours=1)
    assert clinic.positions.get("patients").reconciled_at is not None
    assert gone not in clinic.stored("patients")


@pytest.mark.parametrize("foreign", [{}, {"first_name": "Ada"}, {"_sync": {"fetched_at": "yesterday"}}, {"_sync": 5}])
def test_a_document_that_this_system_did_not_write_stops_nothing(clinic: Clinic, foreign: dict[str, Any]) -> None:
    real = min(clinic.simulator.truth("patients"))
    for kind, key in (("patients", "of another program"), ("patients", real), ("allergies", "9")):
        clinic.documents.transact(lambda transaction, path=f"{kind}/{key}": transaction.set(path, foreign))  # type: ignore[misc]
    clinic.later(hours=1)
    reconcile.start(clinic.parts(), LISTED)
    assert clinic.run(reconcile.go_on).unfinished == {}
    runs(clinic, hours=1)
    assert clinic.queue.waiting() == 0
    # One with the id of a record was replaced; the others are left, and can be named.
    assert list(clinic.records.unreadable(KINDS["patients"])) == ["of another program"]
    assert list(clinic.records.unreadable(KINDS["allergies"])) == ["9"]


@pytest.mark.parametrize(
    "broken", [{}, {"sync": "here"}, {"problems": {"sync": 5}, "watermark": 7, "synced_at": "now"}]
)
def test_a_checkpoint_that_cannot_be_read_counts_as_never_done(clinic: Clinic, broken: dict[str, Any]) -> None:
    clinic.documents.transact(lambda transaction: transaction.set("sync_state/patients", broken))
    clinic.simulator.change("patients", webhook=False)
    clinic.later(minutes=1)
    runs(clinic, hours=0.2)
    assert [key for key in clinic.differences() if key.startswith("patients:")] == []
    assert clinic.positions.get("patients").synced_at is not None


@pytest.mark.parametrize("form", ["guide-uuid", "live"])
def test_a_list_that_is_never_ready_keeps_no_other_kind_waiting(documents: Documents, form: str) -> None:
    with simulator(form=form, polls_until_complete=10**6) as running:
        clinic = Clinic(running, documents)
        run = Run(clinic.parts(), deadline=clinic.now() + timedelta(hours=1))
        backfill.start(run.parts, LISTED, date(2025, 1, 1))
        backfill.go_on(run)
        assert set(run.unfinished.values()) == {"bulk_not_ready"}
        assert {kind for _, kind in run.unfinished} >= {"patients", "appointments"}
        # The list that DrChrono is making is waited for, and not begun anew.
        backfilling = clinic.positions.get("patients").backfill
        assert backfilling is not None
        assert "born" in backfilling["resume"]
        assert clinic.queue.get(Target("patients", "1")) is None


@both_stores(
    "form, words",
    product(["guide", "guide-uuid", "live"], ["Not found.", "This list is gone."]),
    ("guide", "Not found."),
    ("guide-uuid", "This list is gone."),
    ("live", "This list is gone."),
)
def test_a_list_that_expired_in_other_words_is_begun_anew_at_the_same_page(
    form: str, words: str, store: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_pages(monkeypatch)
    with simulator(form=form, patients=23, appointments=0, notes=0, children=0) as running:
        clinic = Clinic(running, store)
        backfill.start(clinic.parts(), ("patients",), date(2020, 1, 1))
        refusal = {"fault": "answer", "status": 404, "body": {"detail": words}, "times": 1}
        rule = {"match": {"kind": "patients", "page": 3}, **refusal}
        running.faults.set([rule], replace=True)
        clinic.run(backfill.go_on)
        runs(clinic, hours=0.5)
        assert running.faults.set([], replace=True) == []
        assert clinic.positions.get("patients").backfilled_at is not None
        assert clinic.differences() == []


@pytest.mark.parametrize("form", ["guide", "guide-uuid", "live"])
def test_a_list_that_shrank_below_the_page_is_read_to_its_new_end(
    form: str, documents: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_pages(monkeypatch)
    with simulator(form=form, patients=11, appointments=0, notes=0, children=0) as running:
        clinic = Clinic(running, documents)
        backfill.start(clinic.parts(), ("patients",), date(2020, 1, 1))
        rule = {
            "match": {"kind": "patients", "page": 3},
            "fault": "answer",
            "status": 404,
            "body": {"detail": "Invalid page."},
        }
        running.faults.set([rule], replace=True)
        run = clinic.run(backfill.go_on)
        # The page before is the last one of the list as it is now; where it names a third one, nothing is finished.
        assert run.unfinished or clinic.positions.get("patients").backfilled_at is not None
        assert clinic.positions.get("patients").backfilled_at is None
        assert clinic.positions.get("patients").backfill is not None
        running.faults.set([], replace=True)
        runs(clinic, hours=1)
        assert clinic.positions.get("patients").backfilled_at is not None
        assert clinic.differences() == []


@both_stores("link", [("first",), ("self",)], ("first",))
def test_links_in_a_circle_cost_few_requests_and_the_list_is_begun_anew(
    link: str, store: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_pages(monkeypatch)
    with simulator(form="guide", patients=23, appointments=0, notes=0, children=0) as running:
        clinic = Clinic(running, store)
        backfill.start(clinic.parts(), ("patients",), date(2020, 1, 1))
        rule = {"match": {"kind": "patients", "page": 3}, "fault": "next", "link": link}
        running.faults.set([rule], replace=True)
        before = clinic.requests()
        made = runs(clinic, hours=1)
        assert all(run.unfinished for run in made)
        assert problem(clinic, "patients", "backfill")["reason"] == "list_repeats"
        backfilling = clinic.positions.get("patients").backfill
        assert backfilling is not None
        assert backfilling["resume"] == {}
        # Six for each attempt at the list, of which there are five; the rest are the lists of its patients.
        assert clinic.requests() - before < 300
        running.faults.set([], replace=True)
        runs(clinic, hours=1.2)
        assert clinic.positions.get("patients").backfilled_at is not None
        assert clinic.differences() == []


@pytest.mark.parametrize("link", ["first", "self"])
def test_a_list_of_changes_in_a_circle_keeps_no_other_kind_from_being_listed(clinic: Clinic, link: str) -> None:
    """In both forms: live, the list of a few changes is a plain one, with links."""
    clinic.later(hours=1)
    rule = {"match": {"kind": "patients", "path": LISTS["patients"]}, "fault": "next", "link": link}
    clinic.simulator.faults.set([rule], replace=True)
    for kind in LISTED:
        clinic.simulator.change(kind, webhook=False)
    clinic.later(minutes=1)
    before = clinic.requests()
    runs(clinic, hours=0.5)
    assert problem(clinic, "patients")["reason"] == "list_repeats"
    assert clinic.requests() - before < 60
    assert [one for one in clinic.differences() if not one.startswith("patients:")] == []
    clinic.simulator.faults.set([], replace=True)
    runs(clinic, hours=1)
    assert problem(clinic, "patients") == {}
    assert clinic.differences() == []


@pytest.mark.parametrize("job", ["backfill", "sync"])
def test_a_link_to_a_foreign_host_is_not_followed_and_costs_no_checkpoint(
    clinic: Clinic, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_pages(monkeypatch)
    link = {"fault": "next", "link": "https://drchrono.example.org/api/patients?page=2"}
    rule = {"match": {"kind": "patients", "path": LISTS["patients"], "method": "GET"}, **link}
    clinic.later(hours=1)
    for kind in LISTED:
        clinic.simulator.change(kind, webhook=False)
    clinic.later(minutes=1)
    clinic.simulator.faults.set([rule], replace=True)
    if job == "backfill":
        backfill.start(clinic.parts(), LISTED, date(2009, 1, 1))
        run = clinic.run(backfill.go_on)
    else:
        run = clinic.run(sync)
    assert run.unfinished == {(job, "patients"): "foreign_host"}
    assert problem(clinic, "patients", job)["reason"] == "foreign_host"
    assert getattr(clinic.positions.get("patients"), job) is not None
    assert [one for one in clinic.differences() if not one.startswith("patients:")] == []
    clinic.simulator.faults.set([], replace=True)
    runs(clinic, hours=1)
    assert problem(clinic, "patients", job) == {}
    assert getattr(clinic.positions.get("patients"), job) is None
    assert clinic.differences() == []


def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulator.api.lists.PAGE_SIZE", 5)
    monkeypatch.setattr("simulator.api.bulk.PAGE_SIZE", 5)


@pytest.mark.parametrize("key", ["²", "٣", str(10**30), "9" * 300])
def test_an_id_that_is_no_number_of_the_store_stops_no_sync(clinic: Clinic, key: str) -> None:
    """The lists of a patient that DrChrono does not know are looked at: which records name it, the store is asked."""
    clinic.queue.enqueue(entries(clinic, [key], "medications", "patient"))
    clinic.later(seconds=40)
    clinic.simulator.change("patients", webhook=False)
    runs(clinic, hours=0.5)
    assert clinic.queue.get(Target("medications", key, "patient")) is None
    assert [one for one in clinic.differences() if key not in one] == []


def test_an_entry_at_which_the_code_fails_keeps_no_other_from_its_turn(
    clinic: Clinic, capsys: pytest.CaptureFixture[str]
) -> None:
    """What nobody foresaw: here a record that the code which stores it cannot take."""
    broken, other = sorted(clinic.simulator.truth("patients"))[:2]
    clinic.simulator.change("patients", other, webhook=False)
    clinic.queue.enqueue(entries(clinic, [broken, other]))
    clinic.later(seconds=40)
    real = clinic.drchrono.get

    class Failing(Refresh):
        def run(self, target: Target, known: Known, source: Source) -> Done:
            if target.id == broken:
                raise ZeroDivisionError(f"{real(KINDS['patients'], broken).record['first_name']}")
            return super().run(target, known, source)

    def failing() -> Refresh:
        return Failing(
            api=clinic.drchrono,
            records=clinic.records,
            queue=clinic.queue,
            absences=clinic.absences,
            now=clinic.now,
        )

    capsys.readouterr()
    run = Run(replace(clinic.parts(), events=failing(), children=failing()), clinic.now() + timedelta(minutes=4))
    sync(run)
    entry = clinic.queue.get(Target("patients", broken))
    assert entry is not None
    assert (entry.reason, entry.attempts, entry.lease_until) == ("crashed", 1, None)
    assert entry.due > clinic.now() - timedelta(minutes=1)
    assert clinic.queue.get(Target("patients", other)) is None
    crashes = [line for line in capsys.readouterr().out.splitlines() if '"function.crashed"' in line]
    assert len(crashes) == 1
    assert str(clinic.simulator.truth("patients")[broken]["first_name"]) not in crashes[0]
    runs(clinic, hours=1)
    assert clinic.queue.get(Target("patients", broken)) is None


def test_an_id_with_leading_zeros_is_no_other_patient(clinic: Clinic) -> None:
    """`007` is not patient 7: what belongs to 7 is neither absent from the list of `007`, nor deleted with it."""
    patient = next(str(one["patient"]) for one in clinic.simulator.truth("medications").values())
    began = clinic.now()
    clinic.records.mark_deleted(KINDS["patients"], f"00{patient}", began, Source("pending"), "not_found")
    rule = {"match": {"path": f"patient=00{patient}"}, "fault": "answer", "status": 200, "body": {"results": []}}
    clinic.simulator.faults.set([rule], replace=True)
    clinic.queue.enqueue(entries(clinic, [f"00{patient}"], "medications", "patient"))
    clinic.later(seconds=40)
    run = Run(clinic.parts(), deadline=clinic.now() + timedelta(minutes=4))
    sync(run)
    assert clinic.queue.get(Target("medications", f"00{patient}", "patient")) is None
    metas = [data["_sync"] for _, data in clinic.documents.query("medications")]
    assert [meta for meta in metas if meta["deleted"] or meta.get("patient_deleted")] == []
    assert clinic.queue.count_absent("medications") == 0


def test_events_that_find_no_live_request_take_one_of_the_background_share(clinic: Clinic) -> None:
    key = min(clinic.simulator.truth("patients"))
    clinic.simulator.change("patients", key, webhook=False)
    clinic.queue.enqueue(entries(clinic, [key]))
    clinic.later(seconds=40)
    parts = clinic.parts()
    live = Clinic(clinic.simulator, clinic.documents, Allowance(left=0))
    run = Run(replace(parts, events=live.refresh()), deadline=clinic.now() + timedelta(minutes=4))
    sync(run)
    assert clinic.queue.get(Target("patients", key)) is None
    assert [one for one in clinic.differences() if one == f"patients:{key}"] == []


@pytest.mark.parametrize("event", [None, "PATIENT_MEDICATION_MODIFY"])
def test_a_record_that_only_the_list_of_its_patient_shows_is_not_marked_as_deleted(
    clinic: Clinic, event: str | None
) -> None:
    key = min(clinic.simulator.truth("medications"))
    rule = {
        "match": {"kind": "medications", "read": "single", "id": key},
        "fault": "answer",
        "status": 404,
        "body": {"detail": "Not found."},
    }
    clinic.simulator.faults.set([rule], replace=True)
    clinic.simulator.change("medications", key, webhook=False)
    if event:
        handle(push(Change(event, "medications", key, "delivery", clinic.now(), None)), clinic.store())
    else:
        clinic.queue.enqueue(entries(clinic, [key], "medications"))
    for _ in range(4):
        clinic.later(minutes=2)
        clinic.run(sync)
        assert key in clinic.stored("medications")
    assert clinic.queue.waiting() == 0
    assert clinic.differences() == []
    # Once its list does not show it either, it is deleted.
    clinic.simulator.delete("medications", key, webhook=False)
    clinic.queue.enqueue(entries(clinic, [key], "medications"))
    for _ in range(4):
        clinic.later(minutes=2)
        clinic.run(sync)
    assert key not in clinic.stored("medications")
    assert clinic.differences() == []
