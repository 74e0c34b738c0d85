"""Entries against the simulator over HTTP, on both stores and in both forms."""

from __future__ import annotations

import pytest

from shared.documents import Documents
from shared.outbox.entries import KEPT, State
from shared.outbox.lanes import BURST
from shared.queue.entries import Target
from shared.queue.work_queue import WorkQueue
from shared.rate_limit.ledger import Lane
from tests.outbox.harness import harness

FORMS = ("guide", "live")


@pytest.mark.parametrize("form", FORMS)
def test_a_patient_is_created_stored_and_named_in_the_entry(documents: Documents, form: str) -> None:
    with harness(documents, form=form) as at:
        key = at.new_patient(cell_phone="410-555-0100")
        entry = at.send(key).entry
        (made,) = at.named("Berg")
        assert entry is not None
        assert (entry.state, entry.record_id, entry.version) == (State.DONE, str(made["id"]), made["updated_at"])
        assert at.copied("patients", str(made["id"])) is not None
        assert at.document(key)["expires_at"] == at.now() + KEPT
        at.send(key)
        at.resolve()
        assert at.simulator.stats()["created"] == 1
        at.settle()
        assert f"patients:{made['id']}" not in at.differences()


@pytest.mark.parametrize("form", FORMS)
def test_an_appointment_is_created_from_an_instant_in_the_doctors_zone(documents: Documents, form: str) -> None:
    with harness(documents, form=form) as at:
        patient = int(next(iter(at.simulator.truth("patients"))))
        fields = {"doctor": at.doctor, "office": at.office, "exam_room": 1, "patient": patient, "duration": 30}
        key = at.add(kind="appointments", fields={**fields, "scheduled_at": "2027-05-03T13:00:00Z"})
        at.send(key)
        entry = at.entry(key)
        (made,) = at.visits_at("2027-05-03T09:00:00")  # Eastern summer time
        assert (entry.state, entry.record_id) == (State.DONE, str(made["id"]))
        assert at.copied("appointments", str(made["id"])) is not None


@pytest.mark.parametrize("form", FORMS)
def test_an_update_changes_the_given_fields_alone_and_the_copy_at_once(documents: Documents, form: str) -> None:
    with harness(documents, form=form) as at:
        patient = at.existing_patient()
        before = at.simulator.truth("patients")[patient]
        at.later(seconds=5)
        key = at.change_patient(patient, city="Dover", date_of_death=None)
        at.send(key)
        after = at.simulator.truth("patients")[patient]
        assert after == {**before, "city": "Dover", "updated_at": after["updated_at"]}
        assert (at.entry(key).state, at.entry(key).version) == (State.DONE, after["updated_at"])
        copied = at.copied("patients", patient)
        assert copied is not None
        assert copied["city"] == "Dover"


def test_the_next_sync_sends_what_no_trigger_told_of(documents: Documents) -> None:
    with harness(documents) as at:
        keys = [at.new_patient(last_name=f"Berg-{number}") for number in range(3)]
        at.overwrite(keys[0], state="waiting")
        at.pass_over()
        assert [at.entry(key).state for key in keys] == [State.DONE] * 3
        assert at.simulator.stats()["created"] == 3


def test_what_is_invalid_is_rejected_with_every_field_and_nothing_sent(documents: Documents) -> None:
    with harness(documents) as at:
        key = at.new_patient(gender="planted", doctor="planted")
        at.pass_over()
        document = at.document(key)
        assert (document["state"], document["reason"]) == ("rejected", "invalid")
        assert document["complaints"].keys() == {"gender", "doctor"}
        at.send(key)
        assert at.requests() == 0


@pytest.mark.parametrize("status", ["400", "409"])
def test_drchronos_refusals_have_a_word_and_their_fields(documents: Documents, status: str) -> None:
    with harness(documents, duplicate_check=status) as at:
        born = "1990-02-03"
        first, twin = at.new_patient(date_of_birth=born), at.new_patient(date_of_birth=born)
        third = at.new_patient(date_of_birth=born, options={"allow_duplicates": True})
        at.pass_over()
        at.pass_over(minutes=2)
        assert at.entry(first).state is State.DONE
        assert (at.entry(twin).state, at.entry(twin).reason) == (State.REJECTED, "duplicate")
        assert at.entry(twin).complaints == {"detail": ["Potential duplicate patient(s) found."]}
        assert at.entry(third).state is State.DONE
        assert len(at.named("Berg")) == 2

        booked, over = at.new_visit(), at.new_visit(scheduled_time="2027-05-03T09:15:00")
        allowed = at.new_visit(scheduled_time="2027-05-03T09:20:00", options={"allow_overlapping": True})
        at.pass_over()
        assert at.entry(booked).state is State.DONE
        assert (at.entry(over).state, at.entry(over).reason) == (State.REJECTED, "overlap")
        assert at.entry(allowed).state is State.DONE
        moved = at.add(
            kind="appointments",
            action="update",
            id=at.entry(allowed).record_id,
            fields={"scheduled_time": "2027-05-03T09:10:00", "allow_overlapping": False},
        )
        missing = at.change_patient("999", city="Dover")
        wrong = at.new_patient(doctor=1)
        at.pass_over()
        assert (at.entry(moved).state, at.entry(moved).reason) == (State.REJECTED, "overlap")
        assert (at.entry(missing).state, at.entry(missing).reason) == (State.REJECTED, "not_found")
        assert (at.entry(wrong).state, at.entry(wrong).reason) == (State.REJECTED, "invalid")
        assert at.entry(wrong).complaints.keys() == {"doctor"}


def test_an_update_of_a_version_that_is_gone_is_rejected_with_nothing_sent(documents: Documents) -> None:
    with harness(documents) as at:
        patient = at.existing_patient()
        version = at.simulator.truth("patients")[patient]["updated_at"]
        right = at.change_patient(patient, city="Dover", options={"expected_updated_at": version})
        later = at.change_patient(patient, city="Leeds", options={"expected_updated_at": version})
        at.later(seconds=2)
        at.send(right)
        assert at.entry(right).state is State.DONE
        at.send(later)
        assert (at.entry(later).state, at.entry(later).reason) == (State.REJECTED, "changed_meanwhile")
        assert at.simulator.truth("patients")[patient]["city"] == "Dover"
        at.later(seconds=2)
        at.simulator.change("patients", patient, {"city": "Salem"})
        stale = at.change_patient(patient, city="Leeds", options={"expected_updated_at": at.entry(right).version})
        at.send(stale)
        assert (at.entry(stale).state, at.entry(stale).reason) == (State.REJECTED, "changed_meanwhile")
        assert at.simulator.truth("patients")[patient]["city"] == "Salem"


def test_a_replica_that_shows_the_expected_version_is_not_believed_after_a_write_of_ours(documents: Documents) -> None:
    with harness(documents) as at:
        patient = at.existing_patient()
        version = at.simulator.truth("patients")[patient]["updated_at"]
        at.later(minutes=1)
        at.simulator.lag.set(20)
        first = at.change_patient(patient, city="Dover", options={"expected_updated_at": version})
        second = at.change_patient(patient, city="Leeds", options={"expected_updated_at": version})
        at.later(seconds=1)
        at.send(first)
        assert (at.entry(first).state, at.entry(first).version) == (State.DONE, None)
        at.send(second)
        assert (at.entry(second).state, at.entry(second).reason) == (State.WAITING, "lag")
        at.pass_over(minutes=1)
        assert (at.entry(second).state, at.entry(second).reason) == (State.REJECTED, "changed_meanwhile")
        assert at.simulator.truth("patients")[patient]["city"] == "Dover"


def test_entries_of_a_record_are_sent_in_their_order_whichever_comes_first(documents: Documents) -> None:
    with harness(documents) as at:
        patient = at.existing_patient()
        first = at.change_patient(patient, city="Dover")
        at.later(seconds=1)
        second = at.change_patient(patient, city="Leeds")
        sent = at.send(second).entry
        assert sent is not None
        assert (sent.state, sent.reason) == (State.WAITING, "blocked")
        at.send(first)
        assert [at.entry(key).state for key in (first, second)] == [State.DONE, State.DONE]
        assert at.simulator.truth("patients")[patient]["city"] == "Leeds"


def test_an_entry_that_its_program_writes_again_is_not_sent_again(documents: Documents) -> None:
    with harness(documents) as at:
        at.new_patient("mine")
        at.send("mine")
        record = at.entry("mine").record_id
        at.new_patient("mine")
        at.send("mine")
        assert (at.entry("mine").state, at.entry("mine").record_id) == (State.DONE, record)
        assert at.simulator.stats()["created"] == 1


def test_two_equal_entries_are_two_records_one_after_the_other(documents: Documents) -> None:
    with harness(documents) as at:
        keys = [at.new_patient(), at.new_patient()]
        at.fault("drop_after_write", method="POST")
        at.send(keys[0])
        at.send(keys[1])
        assert [at.entry(key).state for key in keys] == [State.UNKNOWN, State.WAITING]
        at.resolve()
        assert [at.entry(key).state for key in keys] == [State.DONE] * 2
        assert len({at.entry(key).record_id for key in keys}) == 2
        assert len(at.named("Berg")) == 2


def test_a_burst_leaves_the_live_share_of_the_quota_to_events(documents: Documents) -> None:
    with harness(documents) as at:
        lanes: list[str] = []
        acquire = at.allowance.acquire

        def counted(lane: Lane) -> None:
            lanes.append(str(lane))
            acquire(lane)

        at.allowance.acquire = counted
        for number in range(BURST + 5):
            at.new_patient(last_name=f"Berg-{number}")
        at.pass_over()
        assert lanes == ["background"] * 5 + ["live"] * BURST
        assert at.simulator.stats()["created"] == BURST + 5


@pytest.mark.parametrize("fault", ["500", "html", "reset"])
def test_an_update_that_cannot_be_read_back_is_done_and_its_record_waits_in_the_work_queue(
    embedded: Documents, fault: str
) -> None:
    """The copy may be behind an entry that is done, but never without saying so."""
    with harness(embedded) as at:
        patient = at.existing_patient()
        at.later(seconds=5)
        key = at.change_patient(patient, city="Dover")
        at.fault(fault, method="GET", times=9)
        at.send(key)
        assert at.simulator.truth("patients")[patient]["city"] == "Dover"
        assert (at.entry(key).state, at.entry(key).version) == (State.DONE, None)
        copied = at.copied("patients", patient)
        assert copied is None or copied["city"] != "Dover"
        waiting = WorkQueue(embedded, at.now).get(Target("patients", patient))
        assert waiting is not None
        assert waiting.last_seen >= (at.entry(key).sent_at or waiting.last_seen)
