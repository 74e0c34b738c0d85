"""`outbox` and `put`: the writes that other programs asked for, on both stores."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from shared.outbox.entries import COLLECTION
from tests.ops.conftest import Practice

CANARY = "Planted-Canary"


def writing(practice: Practice) -> Practice:
    practice.write(DRCHRONO_WRITES="on")
    practice.authorize()
    practice.backfill()
    return practice


def add(practice: Practice, key: str, **given: Any) -> str:
    doctor = practice.simulator.clinic.doctors[0]["id"]
    fields = {"gender": "Female", "doctor": doctor, "first_name": CANARY}
    document = {"kind": "patients", "action": "create", "fields": fields, "requested_by": "booking", **given}
    documents = practice.system.outbox_documents()
    documents.transact(lambda transaction: transaction.set(f"{COLLECTION}/{key}", document))
    return key


def state(practice: Practice, key: str) -> str:
    return str((practice.system.outbox_documents().get(f"{COLLECTION}/{key}") or {}).get("state"))


def lose_answer(practice: Practice) -> None:
    practice.simulator.faults.set([{"fault": "reset", "method": "POST", "times": 1}], replace=True)


def test_without_writers_nothing_is_written_and_the_remedy_is_named(practice: Practice) -> None:
    for command in (("outbox",), ("put", "patients", "1", "--set", "city=Dover", "--yes")):
        shown = practice.ops(*command)
        assert shown.exit_code == 1
        assert "Writing to DrChrono is off" in shown.stderr
    assert "outbox" not in practice.ops("status").output
    add(practice, "ignored")
    practice.authorize()
    practice.work()
    assert state(practice, "ignored") == "None"
    assert practice.simulator.stats()["created"] == 0


def test_an_entry_is_listed_without_its_content_and_shown_with_it(either: Practice) -> None:
    writing(either)
    lose_answer(either)
    add(either, "lost")
    add(either, "wrong", kind="appointments", action="update", id="999999", fields={"notes": CANARY})
    add(either, "refused", fields={"gender": CANARY})
    either.work()
    listed = either.ops("outbox")
    assert CANARY not in listed.output
    assert "lost" in listed.output
    assert "not_found" in listed.output
    [one, other] = json.loads(either.ops("outbox", "--json").output)
    assert (one["entry"], one["state"], other["entry"], other["reason"]) == ("lost", "unknown", "wrong", "not_found")
    shown = json.loads(either.ops("outbox", "show", "lost").output)
    assert shown["fields"]["first_name"] == CANARY
    assert "there is no entry nothing" in either.ops("outbox", "show", "nothing").stderr
    assert "outbox show refused" in either.ops("outbox", "retry", "refused").stderr
    assert "1 unknown" in either.ops("status").output


def test_a_person_retries_or_cancels_an_unknown_entry(practice: Practice) -> None:
    writing(practice)
    doctor = practice.simulator.clinic.doctors[0]["id"]
    for key, action, answer in (("one", "retry", "n"), ("three", "cancel", "y"), ("two", "retry", "y")):
        lose_answer(practice)
        add(practice, key, fields={"gender": "", "doctor": doctor, "last_name": key})
        practice.work()
        assert state(practice, key) == "unknown"
        asked = practice.ops("outbox", action, key, typed=f"{answer}\n")
        assert asked.exit_code == 0
        assert "Look there first" in asked.output
    assert [state(practice, key) for key in ("one", "two", "three")] == ["unknown", "waiting", "rejected"]
    practice.work()
    assert [state(practice, key) for key in ("one", "two", "three")] == ["unknown", "done", "rejected"]
    assert practice.simulator.stats()["created"] == 1
    assert "is done" in practice.ops("outbox", "retry", "two").stderr
    assert "is rejected" in practice.ops("outbox", "cancel", "three").stderr
    assert practice.ops("outbox", "retry", "three").exit_code == 0
    practice.work()
    assert state(practice, "three") == "done"


@pytest.mark.parametrize("arguments", [("list", "x"), ("retry",), ("show",)])
def test_actions_on_one_entry_require_its_name(practice: Practice, arguments: tuple[str, ...]) -> None:
    assert practice.ops("outbox", *arguments).exit_code == 2


def test_put_changes_a_field_through_the_outbox(either: Practice) -> None:
    writing(either)
    key = next(iter(either.simulator.truth("patients")))
    asked = either.ops("put", "patients", key, "--set", "city=Dover", typed="n\n")
    assert (asked.exit_code, "Nothing was sent." in asked.output) == (0, True)
    done = either.ops("put", "patients", key, "--set", "city=Dover", "--set", "disable_sms_messages=true", "--yes")
    assert done.exit_code == 0, done.output
    after = either.simulator.truth("patients")[key]
    assert (after["city"], after["disable_sms_messages"]) == ("Dover", True)
    assert (either.system.documents().get(f"patients/{key}") or {})["city"] == "Dover"
    wrong = either.ops("put", "patients", key, "--set", "gender=What", "--set", "id=7", "--yes")
    assert wrong.exit_code == 1
    assert "gender: one of" in wrong.stderr
    assert "id: not a field of patients that can be written" in wrong.stderr


def test_doctor_says_when_an_entry_has_been_unknown_for_too_long(practice: Practice) -> None:
    writing(practice)
    lose_answer(practice)
    add(practice, "lost")
    practice.work()
    assert "outbox" in practice.ops("doctor").output
    documents = practice.system.outbox_documents()
    before = datetime.now(timezone.utc) - timedelta(minutes=11)
    documents.transact(lambda transaction: transaction.update(f"{COLLECTION}/lost", {"sent_at": before}))
    checked = json.loads(practice.ops("doctor", "--json").output)
    [found] = [one for one in checked if one["check"] == "outbox"]
    assert found["verdict"] == "failed"
    assert "the oldest unknown for 11 min" in found["found"]
    assert found["remedy"] == "python -m ops outbox --local"
