"""A document that somebody changed costs only itself, is named, and can be cleared."""

from __future__ import annotations

from typing import Any

import pytest

from ops.outbox import cancel, listed, send_again
from shared.documents import Documents
from shared.outbox.entries import State
from shared.outbox.storage import Outbox
from shared.outbox.transitions import ACTED_WITHIN, SEND_WITHIN
from tests.outbox.harness import Harness, harness

GUARDS: list[dict[str, Any]] = [{"entry": 5}, {"entry": "a/b"}, {}, {"entry": "x", "state": "well"}]


def shown(at: Harness) -> dict[str, tuple[State, str]]:
    return {one.entry: (one.state, one.reason) for one in listed(at.outbox, at.now())}


def held_up(at: Harness) -> str:
    """An entry that waits, because the quota was used up."""
    at.allowance.left = 0
    key = at.new_patient()
    at.send(key)
    at.allowance.left = 1000
    at.overwrite(key, due=at.now())
    return key


@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.parametrize("act", ["retry", "cancel"])
def test_a_guard_that_cannot_be_read_is_named_and_a_person_clears_it(
    documents: Documents, guard: dict[str, Any], act: str
) -> None:
    with harness(documents) as at:
        key, other = held_up(at), at.new_patient(last_name="Dahl")
        at.put(at.guard(key), **guard)
        at.pass_over()
        assert shown(at) == {key: (State.WAITING, "malformed_guard")}
        assert at.entry(other).state is State.DONE
        at.pass_over(hours=2)
        assert at.named("Berg") == []
        box = Outbox(at.documents, at.now)
        if act == "cancel":
            assert cancel(box, key, at.now()) is State.REJECTED
            key = at.new_patient()
        else:
            assert send_again(box, key, at.now()) is State.WAITING
        at.pass_over()
        assert at.entry(key).state is State.DONE
        assert len(at.named("Berg")) == 1


def test_a_new_entry_waits_where_the_guard_of_its_target_cannot_be_read(documents: Documents) -> None:
    with harness(documents) as at:
        first = at.new_patient()
        at.send(first)
        at.put(at.guard(first), entry=5)
        second = at.new_patient()
        assert at.send(second).entry is not None
        assert shown(at) == {second: (State.WAITING, "malformed_guard")}
        assert len(at.named("Berg")) == 1


def test_an_attempt_is_settled_though_its_guard_was_spoiled_meanwhile(documents: Documents) -> None:
    with harness(documents) as at:
        at.fault("drop_after_write", method="POST")
        key = at.new_patient()
        at.send(key)
        assert at.entry(key).state is State.UNKNOWN
        at.put(at.guard(key), entry=5)
        at.resolve()
        assert at.entry(key).state is State.DONE
        assert len(at.named("Berg")) == 1
        again = at.new_patient(last_name="Berg")
        at.send(again)
        assert at.entry(again).state is State.DONE


@pytest.mark.parametrize(
    "spoiled",
    [{"attempts": "many"}, {"fence": 5, "known": 7}, {"requested_at": "noon"}, {"due": None}, {"state": "well"}],
)
@pytest.mark.parametrize("state", ["waiting", "unknown"])
def test_what_this_system_wrote_is_restored_from_the_guard(
    documents: Documents, spoiled: dict[str, Any], state: str
) -> None:
    with harness(documents) as at:
        if state == "waiting":
            key = held_up(at)
        else:
            at.fault("drop_after_write", method="POST")
            key = at.new_patient()
            at.send(key)
        at.overwrite(key, **spoiled)
        at.resolve()
        assert at.entry(key).state is State.DONE
        assert len(at.named("Berg")) == 1


def test_a_request_that_was_spoiled_after_it_was_sent_stays_unknown_and_lets_the_others_pass(
    documents: Documents,
) -> None:
    with harness(documents) as at:
        patient = at.existing_patient()
        at.fault("drop_after_write", method="PATCH")
        key = at.change_patient(patient, city="Dover")
        at.send(key)
        at.overwrite(key, fields="none")
        other = at.change_patient(patient, city="Salem")
        at.pass_over(seconds=40)
        assert shown(at)[key] == (State.UNKNOWN, "malformed")
        assert at.entry(other).state is State.WAITING  # DrChrono may still act on the first
        at.pass_over(seconds=(SEND_WITHIN + ACTED_WITHIN).total_seconds() + 60)
        assert at.entry(other).state is State.DONE
        assert at.simulator.truth("patients")[patient]["city"] == "Salem"
        at.pass_over(hours=2)
        assert shown(at) == {key: (State.UNKNOWN, "malformed")}
        assert cancel(Outbox(at.documents, at.now), key, at.now()) is State.REJECTED
        # Its program writes the same entry again: that it was sent is not forgotten.
        at.add(key, kind="patients", action="update", id=patient, fields={"city": "Dover"})
        at.resolve()
        assert at.simulator.truth("patients")[patient]["city"] == "Salem"
        assert (at.entry(key).state, at.entry(key).reason) == (State.REJECTED, "outcome_lost")


def test_a_request_that_was_spoiled_before_it_was_sent_is_rejected(documents: Documents) -> None:
    with harness(documents) as at:
        key = held_up(at)
        at.overwrite(key, fields={"gender": 5})
        other = at.new_patient()
        at.pass_over()
        assert shown(at) == {key: (State.REJECTED, "invalid")}
        assert at.entry(other).state is State.DONE
