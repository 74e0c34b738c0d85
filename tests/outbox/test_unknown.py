"""A request that was not answered: found, or proved not to have arrived, and never sent again by itself before that."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from shared.documents import Documents
from shared.outbox.entries import State
from shared.outbox.transitions import provable_absence
from tests.mortal import Killed, MortalDocuments
from tests.outbox.harness import Harness, harness

FORMS = ("guide", "live")
AFTER = ("drop_after_write", "error_after_write", "truncate", "malformed")
BEFORE = ("reset", "502", "500", "html")


def visit(at: Harness) -> str:
    return at.new_visit()


def patient(at: Harness) -> str:
    return at.new_patient(date_of_birth="1990-02-03")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fault", AFTER)
@pytest.mark.parametrize("new", [patient, visit])
def test_a_creation_whose_answer_is_lost_is_found(
    embedded: Documents, form: str, fault: str, new: Callable[[Harness], str]
) -> None:
    with harness(embedded, form=form) as at:
        at.fault(fault, method="POST")
        key = new(at)
        at.send(key)
        assert at.entry(key).state is State.UNKNOWN
        at.pass_over(minutes=1)
        entry = at.entry(key)
        assert entry.state is State.DONE
        assert entry.record_id in at.simulator.truth(entry.request.kind)
        assert at.copied(entry.request.kind, entry.record_id or "") is not None
        assert at.simulator.stats()["created"] == 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fault", BEFORE)
@pytest.mark.parametrize("new", [patient, visit])
def test_a_creation_that_did_not_arrive_is_sent_again_only_when_that_is_proved(
    embedded: Documents, form: str, fault: str, new: Callable[[Harness], str]
) -> None:
    with harness(embedded, form=form) as at:
        at.existing_patient()
        there = next(iter(at.simulator.truth("appointments").values()))
        # Another of that day, so that the list shows that it shows something.
        at.simulator.change("appointments", there["id"], {"doctor": at.doctor, "scheduled_time": "2027-05-03T15:00:00"})
        at.fault(fault, method="POST")
        key = new(at)
        at.send(key)
        sent_at = at.entry(key).sent_at
        assert sent_at is not None
        while at.now() + timedelta(seconds=20) < provable_absence(sent_at):
            at.pass_over(seconds=20)
            assert at.entry(key).state is State.UNKNOWN
            assert at.simulator.stats()["created"] == 0
        at.pass_over(minutes=5)
        at.pass_over()
        assert (at.entry(key).state, at.entry(key).attempts) == (State.DONE, 2)
        assert at.simulator.stats()["created"] == 1


@pytest.mark.parametrize("seconds", [10, 100])
def test_drchrono_may_act_long_after_nobody_waits(embedded: Documents, seconds: int) -> None:
    with harness(embedded) as at:
        at.existing_patient()
        at.fault("late_write", method="POST", seconds=seconds)
        key = at.new_patient()
        at.send(key)
        for _ in range(30):
            at.pass_over(seconds=20)
        assert at.entry(key).state is State.DONE
        assert at.simulator.stats()["created"] == 1


def test_a_lagging_list_is_no_proof(embedded: Documents) -> None:
    with harness(embedded, lag_seconds=30) as at:
        at.fault("drop_after_write", method="POST")
        key = at.new_visit()
        at.send(key)
        for _ in range(30):
            at.pass_over(seconds=10)
        assert at.entry(key).state is State.DONE
        assert at.simulator.stats()["created"] == 1


@pytest.mark.parametrize("kind", ["patients", "appointments"])
def test_an_empty_list_is_no_proof_where_a_permission_may_be_missing(embedded: Documents, kind: str) -> None:
    with harness(embedded) as at:
        at.existing_patient()
        at.fault("drop_after_write", method="POST")
        key = at.new_patient() if kind == "patients" else at.new_visit()
        at.send(key)
        at.simulator.visibility.set([{"kind": kind}])
        at.resolve()
        assert (at.entry(key).state, at.entry(key).reason) == (State.UNKNOWN, "unproven")
        at.simulator.visibility.set([])
        at.pass_over(hours=1)
        assert at.entry(key).state is State.DONE
        assert at.simulator.stats()["created"] == 1


def test_what_was_there_before_is_not_taken_for_what_was_sent(embedded: Documents) -> None:
    with harness(embedded) as at:
        twin = at.new_patient()
        at.send(twin)
        at.fault("reset", method="POST")
        key = at.new_patient()
        at.send(key)
        at.resolve()
        assert (at.entry(key).state, at.entry(key).attempts) == (State.DONE, 2)
        assert len(at.named("Berg")) == 2


@pytest.mark.parametrize("fault", [*AFTER[:2], *BEFORE])
def test_an_update_is_resolved_by_its_fields(embedded: Documents, fault: str) -> None:
    with harness(embedded) as at:
        key = at.existing_patient()
        at.fault(fault, method="PATCH")
        entry = at.change_patient(key, city="Dover")
        at.send(entry)
        assert at.entry(entry).state is State.UNKNOWN
        at.resolve()
        assert (at.entry(entry).state, at.entry(entry).attempts) == (State.DONE, 1 if fault in AFTER else 2)
        assert at.simulator.truth("patients")[key]["city"] == "Dover"
        assert at.simulator.stats()["writes"] == 1


def test_an_update_that_another_edit_may_have_followed_waits_for_a_person(embedded: Documents) -> None:
    with harness(embedded) as at:
        key = at.existing_patient()
        at.fault("drop_after_write", method="PATCH")
        entry = at.change_patient(key, city="Dover")
        at.send(entry)
        at.simulator.change("patients", key, {"city": "Leeds"})
        later = at.change_patient(key, email="a@example.com")
        at.resolve()
        assert (at.entry(entry).state, at.entry(entry).reason) == (State.UNKNOWN, "ambiguous")
        assert (at.entry(later).state, at.entry(later).reason) == (State.WAITING, "blocked")
        assert at.simulator.truth("patients")[key]["city"] == "Leeds"


@pytest.mark.parametrize("after", [False, True])
def test_a_sender_may_die_between_any_two_operations(documents: Documents, after: bool) -> None:
    for last in range(1, 16):
        with harness(documents, seed=last) as at:
            at.existing_patient()
            key = at.new_patient(f"entry-{last}-{after}", last_name=f"Berg-{last}")
            mortal = MortalDocuments(at.documents, last, after=after)
            try:
                at.new_work(mortal).send(key)
                died = False
            except Killed:
                died = True
            at.resolve()
            assert (last, at.document(key)["state"]) == (last, "done")
            assert (last, at.simulator.stats()["created"]) == (last, 1)
            if not died:
                return
    pytest.fail("the sender has more operations than were tried")


def test_a_guard_that_cannot_be_read_stops_its_target_and_no_other(documents: Documents) -> None:
    with harness(documents) as at:
        keys = [at.new_patient(), at.new_patient(last_name="Dahl")]
        at.allowance.left = 0
        for key in keys:
            at.send(key)
        at.allowance.left = 100
        target = at.entry(keys[0]).target
        at.documents.transact(lambda transaction: transaction.set(f"outbox_targets/{target}", {"entry": 5}))
        for key in keys:
            at.overwrite(key, due=at.now())
        at.pass_over()
        assert [at.entry(key).state for key in keys] == [State.WAITING, State.DONE]


@pytest.mark.parametrize(
    "hold",
    [
        lambda at: setattr(at.allowance, "left", 0),
        lambda at: at.fault("429", method="POST", retry_after=30),
        lambda at: at.fault("401", method="POST", times=2),
    ],
)
def test_what_was_turned_away_at_the_door_waits(embedded: Documents, hold: Callable[[Harness], Any]) -> None:
    with harness(embedded) as at:
        hold(at)
        key = at.new_patient()
        at.send(key)
        assert (at.entry(key).state, at.simulator.stats()["created"]) == (State.WAITING, 0)
        at.allowance.left = 100
        at.overwrite(key, due=at.now())
        at.pass_over()
        assert (at.entry(key).state, at.simulator.stats()["created"]) == (State.DONE, 1)
