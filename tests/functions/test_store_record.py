"""From event to record, against the simulator, in both forms and on both stores."""

from __future__ import annotations

import base64
import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from functions.store_record import handle
from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.drchrono.lag import Evidence
from shared.errors import MessageUnusable, StoreUnavailable
from shared.jobs import backfill
from shared.jobs.sync import sync
from shared.queue.entries import Priority, Target
from shared.records.ordering import Outcome
from shared.records.store import Source
from shared.webhooks.events import Change, encode
from simulator import Simulator
from tests.clinic import Clinic, simulator
from tests.mortal import Killed, MortalDocuments


@pytest.fixture(params=["guide", "live"])
def running(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    with simulator(form=request.param) as running:
        yield running


@pytest.fixture
def clinic(running: Simulator, documents: Documents) -> Clinic:
    return Clinic(running, documents)


def push(change: Change) -> dict[str, Any]:
    """Deliver the message as Pub/Sub does."""
    data = base64.b64encode(encode(change)).decode()
    return {"message": {"data": data, "messageId": "1", "attributes": {}}, "subscription": "projects/p/subscriptions/s"}


_deliveries = map("d{}".format, itertools.count(1))


def event(name: str, key: str, kind: str, at: datetime, updated_at: str | None = None, delivery: str = "") -> Change:
    return Change(name, kind, key, delivery or next(_deliveries), at, updated_at)


def first(clinic: Clinic, kind: str) -> str:
    return min(clinic.simulator.truth(kind))


EVENTS = [
    ("PATIENT_CREATE", "patients"),
    ("PATIENT_MODIFY", "patients"),
    ("APPOINTMENT_CREATE", "appointments"),
    ("APPOINTMENT_MODIFY", "appointments"),
    ("CLINICAL_NOTE_LOCK", "clinical_notes"),
    ("CLINICAL_NOTE_MODIFY", "clinical_notes"),
    ("CLINICAL_NOTE_UNLOCK", "clinical_notes"),
    ("PATIENT_MEDICATION_CREATE", "medications"),
    ("PATIENT_PROBLEM_MODIFY", "problems"),
    ("PATIENT_ALLERGY_MODIFY", "allergies"),
]


@pytest.mark.parametrize(("name", "kind"), EVENTS)
def test_every_event_stores_its_record_as_drchrono_has_it(clinic: Clinic, name: str, kind: str) -> None:
    key = first(clinic, kind)
    outcome = handle(push(event(name, key, kind, clinic.now())), clinic.store())
    assert outcome is Outcome.STORED
    assert set(clinic.stored(kind)) == {key}
    assert f"{kind}:{key}" not in clinic.differences()


def test_a_patients_event_marks_the_three_lists_of_the_patient(clinic: Clinic) -> None:
    key = str(clinic.simulator.truth("medications")[first(clinic, "medications")]["patient"])
    handle(push(event("PATIENT_MODIFY", key, "patients", clinic.now())), clinic.store())
    # Only a list that is asked for later shows for certain what changed with the patient.
    assert clinic.queue.claim(clinic.now(), 10, Priority.CHILDREN) == []
    marked = clinic.queue.claim(clinic.later(seconds=35), 10, Priority.CHILDREN)
    assert {entry.target for entry in marked if entry.target.by == "patient"} == {
        Target(kind, key, "patient") for kind in ("medications", "problems", "allergies")
    }
    clinic.queue.release(marked, clinic.now())
    clinic.run(sync)
    truth = clinic.simulator.truth("medications")
    of_patient = {key_: record for key_, record in truth.items() if str(record["patient"]) == key}
    assert of_patient.items() <= clinic.stored("medications").items()
    assert of_patient


def test_an_appointments_event_finds_its_note_where_there_is_one(clinic: Clinic) -> None:
    note_key, note = min(clinic.simulator.truth("clinical_notes").items())
    appointment = str(note["appointment"])
    handle(push(event("APPOINTMENT_MODIFY", appointment, "appointments", clinic.now())), clinic.store())
    clinic.settle()
    assert clinic.stored("clinical_notes")[note_key] == note


def test_the_same_event_again_needs_no_request_and_the_copy_is_confirmed_once(clinic: Clinic) -> None:
    store = clinic.store()
    change = event("PATIENT_MODIFY", first(clinic, "patients"), "patients", clinic.now())
    assert handle(push(change), store) is Outcome.STORED
    clinic.later(seconds=10)
    before = clinic.requests()
    again = replace(change, received_at=change.received_at - timedelta(seconds=2))
    assert handle(push(again), store) is Outcome.COVERED
    assert clinic.requests() == before
    clinic.settle()
    assert clinic.queue.get(Target("patients", change.id)) is None
    before = clinic.requests()
    assert handle(push(change), store) is Outcome.COVERED
    assert clinic.requests() == before


def test_a_delivery_that_is_replayed_later_needs_no_request(clinic: Clinic) -> None:
    store = clinic.store()
    key = first(clinic, "patients")
    version = clinic.simulator.truth("patients")[key]["updated_at"]
    change = event("PATIENT_MODIFY", key, "patients", clinic.now(), version, delivery="7c0e")
    assert handle(push(change), store) is Outcome.STORED
    before = clinic.requests()
    for _ in range(20):
        replayed = replace(change, received_at=clinic.later(minutes=1))
        assert handle(push(replayed), store) is Outcome.COVERED
    assert clinic.requests() == before


def test_events_of_one_record_that_come_quickly_share_a_fetch(clinic: Clinic) -> None:
    """In the guide's form, in which a replayed delivery cannot be told from a second change."""
    key = first(clinic, "patients")
    before, start = clinic.requests(), clinic.now()
    for number in range(240):
        received = start + timedelta(seconds=number / 4)
        clinic.later(seconds=max(0.0, (received - clinic.now()).total_seconds()))
        change = event("PATIENT_MODIFY", key, "patients", received, delivery=f"{number:064x}")
        handle(push(change), clinic.store())
    assert clinic.requests() - before <= 60 / 5 + 1
    clinic.settle()
    assert clinic.queue.get(Target("patients", key)) is None


def test_an_event_right_after_a_list_read_the_record_does_not_wait(clinic: Clinic) -> None:
    clinic.settle()
    key = first(clinic, "patients")
    clinic.simulator.change("patients", key, {"city": "Salem"}, webhook=False)
    clinic.later(seconds=40)
    clinic.run(partial(sync, force=True))
    assert clinic.queue.get(Target("patients", key)) is None
    clinic.simulator.change("patients", key, {"city": "Dover"}, webhook=False)
    received = clinic.later(seconds=1)
    assert handle(push(event("PATIENT_MODIFY", key, "patients", received)), clinic.store()) is Outcome.STORED
    assert clinic.now() == received
    assert clinic.stored("patients")[key]["city"] == "Dover"


def test_a_flood_that_changes_nothing_costs_one_fetch_in_five_seconds_while_lists_read_the_record_too(
    clinic: Clinic,
) -> None:
    key = first(clinic, "patients")
    handle(push(event("PATIENT_MODIFY", key, "patients", clinic.now())), clinic.store())
    start, fetched = clinic.now(), 0
    for number in range(240):
        if number % 80 == 0:
            clinic.run(partial(sync, force=True))
        received = max(clinic.now(), start + timedelta(seconds=number / 4))
        clinic.later(seconds=max(0.0, (received - clinic.now()).total_seconds()))
        before = clinic.requests()
        handle(push(event("PATIENT_MODIFY", key, "patients", received, delivery=f"{number:064x}")), clinic.store())
        fetched += clinic.requests() - before
    took = (clinic.now() - start).total_seconds()
    assert fetched <= took / 5 + 1


def test_an_event_whose_version_is_older_than_the_copy_needs_no_request(clinic: Clinic) -> None:
    store = clinic.store()
    key = first(clinic, "patients")
    handle(push(event("PATIENT_MODIFY", key, "patients", clinic.now())), store)
    before = clinic.requests()
    late = event("PATIENT_MODIFY", key, "patients", clinic.later(minutes=5), "2020-01-01T00:00:00")
    assert handle(push(late), store) is Outcome.UNCHANGED
    assert clinic.requests() == before


def test_an_event_hours_late_for_a_record_fetched_since_needs_no_request(clinic: Clinic) -> None:
    received = clinic.now()
    key = first(clinic, "patients")
    handle(push(event("PATIENT_MODIFY", key, "patients", clinic.later(hours=2))), clinic.store())
    late = event("PATIENT_MODIFY", key, "patients", received)
    before = clinic.requests()
    clinic.later(minutes=1)
    assert handle(push(late), clinic.store()) is Outcome.COVERED
    assert clinic.requests() == before


def test_a_deleted_appointment_becomes_a_tombstone_that_keeps_its_fields(clinic: Clinic) -> None:
    store = clinic.store()
    key = first(clinic, "appointments")
    handle(push(event("APPOINTMENT_CREATE", key, "appointments", clinic.now())), store)
    clinic.later(minutes=1)
    clinic.simulator.delete("appointments", key, webhook=False)
    gone = event("APPOINTMENT_DELETE", key, "appointments", clinic.later(seconds=5))
    assert handle(push(gone), store) is Outcome.GONE
    document = clinic.documents.get(f"appointments/{key}")
    assert document is not None
    assert (document["_sync"]["deleted"], document["_sync"]["deleted_reason"]) == (True, "not_found")
    assert document["scheduled_time"]


@pytest.mark.parametrize("dated", [True, False])
def test_a_late_deletion_of_a_record_that_is_there_again_and_hidden_deletes_nothing(
    clinic: Clinic, dated: bool
) -> None:
    """An event that names its version is seen to be late. One that does not is, if a permission hides the kind."""
    key = first(clinic, "appointments")
    backfill.start(clinic.parts(), backfill.KIND_NAMES, date(2020, 1, 1))
    clinic.run(backfill.go_on)
    clinic.settle()
    hidden = f"/api/appointments/{key}" if dated else "/api/appointments/"
    clinic.simulator.faults.set([{"match": {"path": hidden}, "fault": "answer", "status": 404}], replace=True)
    version = "2009-01-01T00:00:00" if dated else None
    late = event("APPOINTMENT_DELETE", key, "appointments", clinic.later(minutes=5), version)
    assert handle(push(late), clinic.store()) is Outcome.DEFERRED
    clinic.later(minutes=1)
    clinic.run(sync)
    assert key in clinic.stored("appointments")
    clinic.simulator.faults.set([], replace=True)
    clinic.later(days=1)
    clinic.settle()
    assert clinic.differences() == []
    assert clinic.queue.waiting() == 0


@pytest.mark.parametrize("fault", ["", "500"])
def test_a_404_soon_after_the_event_is_not_believed_even_after_failures(clinic: Clinic, fault: str) -> None:
    handle(push(event("PATIENT_CREATE", first(clinic, "patients"), "patients", clinic.now())), clinic.store())
    clinic.settle()
    change = event("PATIENT_CREATE", "999999", "patients", clinic.now())
    if fault:
        clinic.simulator.faults.set([{"match": {"path": "/api/patients"}, "fault": fault}], replace=True)
        assert handle(push(change), clinic.store()) is Outcome.DEFERRED
        clinic.simulator.faults.set([], replace=True)
        clinic.later(seconds=15)
        clinic.run(sync)
    else:
        assert handle(push(change), clinic.store()) is Outcome.DEFERRED
    assert [row.reason for row in clinic.queue.backlog()] == ["absent"]
    assert clinic.documents.get("patients/999999") is None
    for _ in range(3):
        clinic.later(minutes=2)
        clinic.run(sync)
    clinic.settle()
    document = clinic.documents.get("patients/999999")
    assert document is not None
    assert document["_sync"]["deleted"] is True
    assert clinic.queue.waiting() == 0


def test_an_absence_covers_no_event_after_the_one_that_it_was_looked_for(clinic: Clinic) -> None:
    """The record is gone, and there again when its absence is confirmed, but by then a permission hides it."""
    key = first(clinic, "patients")
    backfill.start(clinic.parts(), backfill.KIND_NAMES, date(2020, 1, 1))
    clinic.run(backfill.go_on)
    clinic.settle()
    clinic.simulator.faults.set(
        [{"match": {"path": f"/api/patients/{key}"}, "fault": "answer", "status": 404}], replace=True
    )
    gone = event("PATIENT_MODIFY", key, "patients", clinic.later(seconds=5))
    clinic.later(minutes=1)
    assert handle(push(gone), clinic.store()) is Outcome.DEFERRED
    again = event("PATIENT_MODIFY", key, "patients", clinic.later(seconds=5))  # delivered later
    for _ in range(3):
        clinic.later(minutes=2)
        clinic.run(sync)
    assert key not in clinic.stored("patients")
    handle(push(again), clinic.store())
    assert clinic.queue.get(Target("patients", key)) is not None
    clinic.simulator.faults.set([], replace=True)
    clinic.settle()
    assert clinic.differences() == []


def test_a_lagging_replica_is_asked_once_more_immediately(embedded: Documents) -> None:
    with simulator(form="live", lag_seconds=2) as running:
        clinic = Clinic(running, embedded)
        clinic.later(minutes=5)
        key = first(clinic, "patients")
        running.change("patients", key, webhook=False)
        truth = running.truth("patients")[key]
        before = clinic.requests()
        change = event("PATIENT_MODIFY", key, "patients", clinic.now(), updated_at=truth["updated_at"])
        assert handle(push(change), clinic.store()) is Outcome.STORED
        assert clinic.stored("patients")[key] == truth
        assert clinic.requests() - before == 2


def test_an_answer_older_than_the_events_version_is_fetched_again(embedded: Documents) -> None:
    with simulator(form="live", lag_seconds=40) as running:
        clinic = Clinic(running, embedded)
        clinic.later(minutes=5)
        key = first(clinic, "patients")
        running.change("patients", key, webhook=False)
        truth = running.truth("patients")[key]
        change = event("PATIENT_MODIFY", key, "patients", clinic.now(), updated_at=truth["updated_at"])
        assert handle(push(change), clinic.store()) is Outcome.DEFERRED
        clinic.later(minutes=2)
        clinic.run(sync)
        clinic.settle()
        assert clinic.stored("patients")[key] == truth
        assert clinic.queue.get(Target("patients", key)) is None


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("500", "server_error"), ("reset", "unreachable"), ("html", "malformed_answer"), ("403", "forbidden")],
)
def test_a_record_that_cannot_be_fetched_is_queued_before_the_message_is_done(
    clinic: Clinic, fault: str, reason: str
) -> None:
    clinic.simulator.faults.set([{"match": {"path": "/api/patients"}, "fault": fault}], replace=True)
    change = event("PATIENT_MODIFY", first(clinic, "patients"), "patients", clinic.now(), delivery="d7")
    assert handle(push(change), clinic.store()) is Outcome.DEFERRED
    entry = clinic.queue.get(Target("patients", change.id))
    assert entry is not None
    assert (entry.reason, entry.deliveries, entry.last_seen) == (reason, ("d7",), change.received_at)
    clinic.simulator.faults.set([], replace=True)
    clinic.later(days=1, minutes=30)
    clinic.run(sync)
    assert change.id in clinic.stored("patients")


def test_without_quota_the_event_waits_until_a_request_is_free(clinic: Clinic) -> None:
    clinic.allowance.left, clinic.allowance.until = 0, clinic.now() + timedelta(minutes=40)
    change = event("PATIENT_MODIFY", first(clinic, "patients"), "patients", clinic.now())
    assert handle(push(change), clinic.store()) is Outcome.DEFERRED
    entry = clinic.queue.get(Target("patients", change.id))
    assert entry is not None
    assert (entry.reason, entry.due, entry.attempts) == ("quota", clinic.allowance.until, 0)


def test_a_too_large_record_is_pending_for_a_day_and_the_copy_stays(clinic: Clinic) -> None:
    store = clinic.store()
    key = first(clinic, "patients")
    handle(push(event("PATIENT_MODIFY", key, "patients", clinic.now())), store)
    clinic.settle()
    small = clinic.stored("patients")[key]
    clinic.simulator.change("patients", key, {"nick_name": "x" * 1_100_000}, webhook=False)
    change = event("PATIENT_MODIFY", key, "patients", clinic.later(minutes=1))
    assert handle(push(change), store) is Outcome.DEFERRED
    entry = clinic.queue.get(Target("patients", key))
    assert entry is not None
    assert (entry.reason, entry.due - clinic.now()) == ("too_large", timedelta(days=1))
    assert clinic.stored("patients")[key] == small


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({}, "no_data"),
        ({"message": None}, "no_data"),
        ({"message": {"data": 5}}, "no_data"),
        ({"message": {"data": "%%%"}}, "not_base64"),
        ({"message": {"data": base64.b64encode(b"\xff").decode()}}, "not_json"),
        ({"message": {"data": base64.b64encode(b"[]").decode()}}, "not_an_object"),
        ({"message": {"data": base64.b64encode(b'{"event": 1}').decode()}}, "field_missing"),
    ],
)
def test_a_message_without_an_event_is_refused_and_counted(
    clinic: Clinic, message: dict[str, Any], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(MessageUnusable, match=reason):
        handle(message, clinic.store())
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"severity": "ERROR", "message": "event.unusable", "reason": reason}


def test_an_event_that_can_be_neither_stored_nor_queued_raises(clinic: Clinic) -> None:
    class Away:
        def __getattr__(self, name: str) -> Any:
            def away(*_: object, **__: object) -> Any:
                raise StoreUnavailable("away")

            return away

    store = Clinic(clinic.simulator, Away()).store()
    with pytest.raises(StoreUnavailable):
        handle(push(event("PATIENT_MODIFY", "1", "patients", clinic.now())), store)


def test_every_order_of_two_fetches_and_a_delete_ends_in_a_tombstone(clinic: Clinic) -> None:
    """Each answer is held back and stored in every order, before and after the 404."""
    kind = KINDS["appointments"]
    for number, order in enumerate(itertools.permutations(range(3))):
        key = sorted(clinic.simulator.truth("appointments"))[number]
        early = clinic.drchrono.get(kind, key)
        clinic.later(seconds=1)
        late = clinic.drchrono.get(kind, key)
        clinic.simulator.delete("appointments", key, webhook=False)
        gone = clinic.later(seconds=40)
        steps = [
            lambda: clinic.records.store(kind, key, early.record, early.began, Source("webhook")),  # noqa: B023
            lambda: clinic.records.store(kind, key, late.record, late.began, Source("webhook")),  # noqa: B023
            lambda: clinic.records.mark_deleted(kind, key, gone, Source("webhook"), "not_found"),  # noqa: B023
        ]
        for step in order:
            steps[step]()
        assert key not in clinic.stored("appointments")
        assert clinic.documents.get(f"appointments/{key}") is not None


def test_a_thousand_events_doubled_and_shuffled_over_a_hundred_records_end_in_the_truth(embedded: Documents) -> None:
    with simulator(form="live", patients=60, appointments=80, notes=10) as running:
        clinic, rng, store = Clinic(running, embedded), random.Random(3), None
        changes = []
        for number in range(1000):
            made = running.change(rng.choice(["patients", "appointments"]), webhook=False)
            name = "PATIENT_MODIFY" if made["kind"] == "patients" else "APPOINTMENT_MODIFY"
            at = clinic.later(seconds=0.2)
            truth = running.truth(made["kind"])[str(made["id"])] if number % 50 == 0 else {}
            changes.append(event(name, str(made["id"]), made["kind"], at, truth.get("updated_at"), f"d{number}"))
        clinic.later(minutes=1)
        store = clinic.store()
        arriving = changes * 2
        rng.shuffle(arriving)
        outcomes = [handle(push(change), store) for change in arriving]
        assert outcomes.count(Outcome.DEFERRED) == 0
        touched = {(change.kind, change.id) for change in changes}
        assert {f"{kind}:{key}" for kind, key in touched} & set(clinic.differences()) == set()
        # Every event was received before the first fetch began: one request is enough for each record.
        assert outcomes.count(Outcome.STORED) == len(touched)


def test_a_process_killed_between_any_two_steps_leaves_the_event_to_its_redelivery(
    running: Simulator, embedded: Documents
) -> None:
    clinic = Clinic(running, embedded)
    for last in itertools.count(1):
        change = event("PATIENT_MODIFY", first(clinic, "patients"), "patients", clinic.later(minutes=1))
        running.change("patients", change.id, webhook=False)
        change = replace(change, received_at=clinic.later(seconds=1))
        try:
            handle(push(change), Clinic(running, MortalDocuments(embedded, last, after=bool(last % 2))).store())
        except Killed:
            handle(push(change), clinic.store())
        else:
            break
        assert clinic.stored("patients")[change.id] == running.truth("patients")[change.id]
        marked = {Target(kind, change.id, "patient") for kind in ("medications", "problems", "allergies")}
        claimed = clinic.queue.claim(clinic.later(minutes=1), 10, Priority.CHILDREN)
        assert {*marked, Target("patients", change.id)} <= {entry.target for entry in claimed}
        for entry in claimed:
            clinic.queue.complete(entry.target, Evidence(clinic.now()))
    assert last >= 5


def test_a_record_with_an_impossible_patient_queues_nothing_that_could_not_be_fetched(clinic: Clinic) -> None:
    key = first(clinic, "clinical_notes")
    clinic.simulator.change("clinical_notes", key, {"patient": ["a/b?c"]}, webhook=False)
    outcome = handle(push(event("CLINICAL_NOTE_LOCK", key, "clinical_notes", clinic.now())), clinic.store())
    assert outcome is Outcome.STORED
    claimed = clinic.queue.claim(clinic.later(minutes=1), 9, Priority.BACKFILL)
    assert {entry.target.by for entry in claimed} == {"id"}
