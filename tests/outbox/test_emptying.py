"""What is settled loses its content after its time, and stays as an answer."""

from __future__ import annotations

import json

from shared.documents import Documents
from shared.outbox.entries import KEPT, State
from tests.outbox.harness import harness

CANARY = "Planted-Canary"


def test_an_entry_that_is_done_keeps_its_answer_and_loses_its_content(documents: Documents) -> None:
    with harness(documents) as at:
        key = at.new_patient(last_name=CANARY)
        at.send(key)
        done = at.document(key)
        at.pass_over(seconds=KEPT.total_seconds() - 1)
        assert at.document(key) == done
        at.pass_over(seconds=2)
        left = at.document(key)
        assert left["emptied_at"] == at.now()
        assert not {"fields", "before", "known", "complaints", "expires_at"} & left.keys()
        assert CANARY not in json.dumps(left, default=str)
        assert left["target"] == ""
        for name in ("state", "record_id", "version", "kind", "action", "requested_by", "settled_at", "due"):
            assert left[name] == done[name]
        at.send(key)
        at.resolve()
        assert at.document(key) == left
        assert at.simulator.stats()["created"] == 1


def test_what_a_program_wrote_in_error_goes_as_well(documents: Documents) -> None:
    with harness(documents) as at:
        key = at.add(kind=CANARY, action="update", id={"no": CANARY}, first_name=CANARY, fields={CANARY: 1})
        at.pass_over()
        assert at.document(key)["state"] == "rejected"
        at.pass_over(seconds=KEPT.total_seconds())
        assert CANARY not in json.dumps(at.document(key), default=str)
        assert (at.document(key)["state"], at.document(key)["reason"]) == ("rejected", "invalid")


def test_what_is_not_settled_keeps_its_content(documents: Documents) -> None:
    with harness(documents) as at:
        at.fault("reset", method="POST")
        key = at.new_patient()
        at.send(key)
        assert at.entry(key).state is State.UNKNOWN
        at.overwrite(key, expires_at=at.now())
        at.allowance.left = 0
        at.pass_over(seconds=KEPT.total_seconds())
        assert at.document(key)["fields"]["first_name"] == "Nina"


def test_an_entry_that_is_emptied_counts_for_nothing_else(embedded: Documents) -> None:
    """Its name is taken, but it neither waits nor makes the sync look for new entries."""
    with harness(embedded) as at:
        patient = at.existing_patient()
        key = at.change_patient(patient, city="Dover")
        at.send(key)
        at.pass_over(seconds=KEPT.total_seconds() + 1)
        assert "emptied_at" in at.document(key)
        assert (at.outbox.entries.backlog(), at.outbox.entries.new(10), at.outbox.entries.expired(at.now(), 9)) == (
            0,
            [],
            [],
        )
        other = at.change_patient(patient, city="Salem")
        at.send(other)
        assert at.entry(other).state is State.DONE
