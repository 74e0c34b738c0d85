"""`show`: the stored record, and its differences from DrChrono."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ops.compare import Difference, Stored, compared, differences
from shared.drchrono.kinds import KINDS
from shared.queue.entries import Entry, Priority, Target
from tests.ops.conftest import Practice
from tests.ops.terminal import plain

PATIENTS = KINDS["patients"]


def first(practice: Practice, kind: str) -> str:
    return next(iter(practice.simulator.truth(kind)))


def test_the_record_is_shown_as_drchrono_sent_it(either: Practice) -> None:
    either.authorize()
    either.backfill()
    key = first(either, "patients")
    shown = either.ops("show", "patients", key)
    heading, _, body = shown.output.partition("\n")
    assert heading.startswith("living; stored ")
    assert json.loads(body) == either.simulator.truth("patients")[key]
    found = json.loads(either.ops("show", "patients", key, "--json").output)
    assert found["record"] == json.loads(body)
    assert found["_sync"]["source"] == "backfill"


def test_differences_are_shown_field_by_field_with_exit_code_1(practice: Practice) -> None:
    practice.authorize()
    practice.backfill()
    key = first(practice, "patients")
    same = practice.ops("show", "patients", key, "--diff")
    assert (same.exit_code, same.output) == (0, f"patients/{key} is equal to DrChrono's.\n")
    practice.simulator.change("patients", key, {"city": "[bold]Springfield"}, webhook=False)
    shown = practice.ops("show", "patients", key, "--diff")
    assert shown.exit_code == 1
    assert "[bold]Springfield" in shown.output
    assert f"python -m ops retry --kind patients --id {key} --local" in plain(shown.output)
    found = json.loads(practice.ops("show", "patients", key, "--diff", "--json").output)
    assert [each["path"] for each in found["differences"]] == ["city", "updated_at"]


def test_notes_are_compared_by_whatever_key_they_have(practice: Practice) -> None:
    practice.authorize()
    practice.backfill()
    key = first(practice, "clinical_notes")
    assert practice.ops("show", "clinical_notes", key, "--diff").exit_code == 0


def test_a_record_that_drchrono_no_longer_has_is_reported(practice: Practice) -> None:
    practice.authorize()
    practice.backfill()
    key = str(practice.simulator.delete("appointments", webhook=False)["id"])
    shown = practice.ops("show", "appointments", key, "--diff")
    assert f"DrChrono has no appointments/{key} (any more)." in plain(shown.output)
    assert shown.exit_code == 1
    practice.ops("retry", "--kind", "appointments", "--id", key)
    practice.work()
    practice.ops("retry", "--kind", "appointments", "--id", key)
    practice.work()
    shown = practice.ops("show", "appointments", key, "--diff")
    assert (shown.exit_code, shown.output) == (0, f"appointments/{key} is deleted, as at DrChrono.\n")


def test_a_tombstone_of_a_record_that_drchrono_has_is_a_difference() -> None:
    record = {"id": 1}
    stored = Stored(record, {"deleted": True}, None)
    assert not compared(stored, record).equal
    assert compared(stored, None).equal
    assert not compared(Stored(record, {"deleted": False}, None), None).equal


def test_a_record_that_is_not_stored_is_reported_with_its_queue_entry(practice: Practice) -> None:
    shown = practice.ops("show", "patients", "12")
    assert (shown.exit_code, shown.stderr) == (1, "error: patients/12 is not stored, and nothing is pending for it\n")
    seen = datetime.now(timezone.utc)
    practice.system.queue().enqueue([Entry(Target("patients", "12"), "asked", Priority.EVENT, seen, seen, due=seen)])
    assert "it waits in the work queue (asked)" in practice.ops("show", "patients", "12").stderr


def test_with_diff_a_record_that_is_not_stored_is_requested_from_drchrono(practice: Practice) -> None:
    practice.authorize()
    shown = practice.ops("show", "patients", "12", "--diff")
    assert shown.exit_code == 1
    assert "patients/12 is not stored" in shown.output
    assert "DrChrono has no patients/12 either (any more): check the id." in shown.output
    key = first(practice, "patients")
    shown = practice.ops("show", "patients", key, "--diff")
    assert shown.exit_code == 1
    assert f"DrChrono has patients/{key}." in shown.output
    assert f"python -m ops retry --kind patients --id {key} --local" in shown.output
    found = json.loads(practice.ops("show", "patients", key, "--diff", "--json").output)
    assert found == {"stored": False, "gone": False}


def test_an_invalid_kind_or_id_is_refused_with_the_valid_ones(practice: Practice) -> None:
    shown = practice.ops("show", "persons", "12")
    assert shown.exit_code == 1
    assert "choose one of patients, appointments" in shown.stderr
    assert "patients/../../etc is not stored" in practice.ops("show", "patients", "../../etc").stderr
    assert "neither empty" in practice.ops("show", "patients", "").stderr


def test_nested_fields_are_named_by_their_path() -> None:
    stored = {"a": {"b": 1, "c": [1, 2]}, "d": None}
    now = {"a": {"b": 2, "c": [1, 2]}, "e": "new"}
    assert differences(stored, now) == [Difference("a.b", 1, 2), Difference("e", None, "new")]


def test_new_signatures_of_links_are_not_a_difference() -> None:
    stored = {"clinical_note": {"pdf": "https://x/?Signature=1&AWSAccessKeyId=A", "locked": True}}
    now = {"clinical_note": {"pdf": "https://x/?Signature=2&AWSAccessKeyId=A", "locked": True}}
    assert differences(stored, now) == []


json_values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


@settings(max_examples=40)
@given(record=st.dictionaries(st.text(min_size=1), json_values))
def test_a_record_never_differs_from_itself(record: dict[str, Any]) -> None:
    assert differences(record, record) == []
