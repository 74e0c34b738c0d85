"""Whatever fails for ever costs its own progress only, stays visible, and goes on when its cause is gone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from typing import Any

import pytest

from functions.store_record import handle
from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.jobs import backfill, reconcile
from shared.jobs.run import Run, Stopped
from shared.jobs.sync import MANY, sync
from shared.queue.entries import Target
from shared.webhooks.events import Change
from simulator import Simulator
from tests.clinic import Allowance, Clinic, simulator
from tests.functions.test_store_record import push
from tests.jobs.test_sync import entries, filled

LISTED = ("patients", "appointments", "clinical_notes")
# How a list of each kind is asked for, in every form.
LISTS = {
    "patients": r"/api/patients(_list)?\?",
    "appointments": r"/api/appointments(_list)?\?",
    "clinical_notes": r"/api/clinical_notes(_list)?\?(?!.*appointment=)",
}


@pytest.fixture(params=["guide", "live"])
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


@pytest.mark.parametrize("fault", ["500", "401", "403", "garbage"])
def test_records_that_fail_for_ever_take_a_bounded_part_of_each_run(embedded: Documents, fault: str) -> None:
    with simulator(form="live", patients=60) as running:
        clinic = filled(Clinic(running, embedded))
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
        runs(clinic, hours=26)
        assert clinic.queue.waiting() == 0
        assert clinic.differences() == []


@pytest.mark.parametrize("fault", ["500", "403", "garbage"])
@pytest.mark.parametrize("broken", LISTED)
def test_a_backfill_that_fails_in_the_middle_keeps_its_checkpoint_and_says_so(
    running: Simulator, embedded: Documents, broken: str, fault: str
) -> None:
    clinic = Clinic(running, embedded)
    backfill.start(clinic.parts(), backfill.KIND_NAMES, date(2020, 1, 1))
    fail(clinic, LISTS[broken], fault)
    run = clinic.run(backfill.go_on)
    assert ("backfill", broken) in run.unfinished
    position = clinic.positions.get(broken)
    assert position.backfill is not None
    assert position.backfilled_at is None
    # A sync that works clears its own problem only.
    clinic.simulator.faults.set([], replace=True)
    clinic.run(partial(sync, force=True))
    assert clinic.positions.get(broken).backfilled_at is None or not problem(clinic, broken, "backfill")
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


def test_a_list_that_is_never_ready_keeps_no_other_kind_waiting(embedded: Documents) -> None:
    with simulator(form="live", polls_until_complete=10**6) as running:
        clinic = Clinic(running, embedded)
        run = Run(clinic.parts(), deadline=clinic.now() + timedelta(hours=1))
        backfill.start(run.parts, LISTED, date(2025, 1, 1))
        backfill.go_on(run)
        assert set(run.unfinished.values()) == {"bulk_not_ready"}
        assert {kind for _, kind in run.unfinished} >= {"patients", "appointments"}
        assert clinic.queue.get(Target("patients", "1")) is None


@pytest.mark.parametrize("form", ["guide", "guide-uuid", "live"])
@pytest.mark.parametrize("words", [{"detail": "Not found."}, {"detail": "This list is gone."}])
def test_a_list_that_expired_in_other_words_is_begun_anew_at_the_same_page(
    form: str, words: dict[str, str], embedded: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_pages(monkeypatch)
    with simulator(form=form, patients=23, appointments=0, notes=0, children=0) as running:
        clinic = Clinic(running, embedded)
        backfill.start(clinic.parts(), ("patients",), date(2020, 1, 1))
        rule = {"match": {"kind": "patients", "page": 3}, "fault": "answer", "status": 404, "body": words, "times": 1}
        running.faults.set([rule], replace=True)
        clinic.run(backfill.go_on)
        runs(clinic, hours=0.5)
        assert running.faults.set([], replace=True) == []
        assert clinic.positions.get("patients").backfilled_at is not None
        assert clinic.differences() == []


@pytest.mark.parametrize("form", ["guide", "guide-uuid", "live"])
def test_a_list_that_shrank_below_the_page_is_read_to_its_new_end(
    form: str, embedded: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_pages(monkeypatch)
    with simulator(form=form, patients=11, appointments=0, notes=0, children=0) as running:
        clinic = Clinic(running, embedded)
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


@pytest.mark.parametrize("link", ["first", "self"])
def test_links_in_a_circle_cost_few_requests_and_the_list_is_begun_anew(
    link: str, embedded: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_pages(monkeypatch)
    with simulator(form="guide", patients=23, appointments=0, notes=0, children=0) as running:
        clinic = Clinic(running, embedded)
        backfill.start(clinic.parts(), ("patients",), date(2020, 1, 1))
        rule = {"match": {"kind": "patients", "page": 3}, "fault": "next", "link": link}
        running.faults.set([rule], replace=True)
        before = clinic.requests()
        made = runs(clinic, hours=1)
        assert all(run.unfinished for run in made)
        assert problem(clinic, "patients", "backfill")["reason"] == "list_repeats"
        # Six for each attempt at the list, of which there are five; the rest are the lists of its patients.
        assert clinic.requests() - before < 300
        running.faults.set([], replace=True)
        runs(clinic, hours=1.2)
        assert clinic.positions.get("patients").backfilled_at is not None
        assert clinic.differences() == []


def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulator.api.lists.PAGE_SIZE", 5)
    monkeypatch.setattr("simulator.api.bulk.PAGE_SIZE", 5)


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
