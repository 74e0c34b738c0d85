"""Which ids are believed, and which record is the one that was asked for."""

from __future__ import annotations

import pytest

from shared.drchrono.kinds import KINDS, id_of, is_of, patient_of


@pytest.mark.parametrize("value", [7, "7", "12_2026-03-10", "a-b"])
def test_a_plain_id_is_one(value: object) -> None:
    assert id_of(value) == str(value)


@pytest.mark.parametrize("value", [None, True, 1.5, "", "a/b", "..", "__id__", "x" * 101, 10**20, {}, [7]])
def test_anything_else_is_none(value: object) -> None:
    assert id_of(value) is None


def test_the_answer_to_a_single_read_must_be_the_record_that_was_asked_for() -> None:
    patients, notes = KINDS["patients"], KINDS["clinical_notes"]
    assert is_of(patients, "7", {"id": 7})
    assert not is_of(patients, "7", {"id": 8})
    assert not is_of(patients, "7", {})
    assert not is_of(patients, "7", {"id": None})
    assert is_of(notes, "7", {"id": 7, "appointment": 70})
    assert is_of(notes, "70", {"id": 7, "appointment": 70})
    assert not is_of(notes, "8", {"id": 7, "appointment": 70})
    # Live: which key the service takes for a note is not documented.
    assert is_of(notes, "9", {"appointment": "70"})


def test_a_patient_that_is_no_plain_id_has_no_lists() -> None:
    assert patient_of(KINDS["patients"], {"id": 7}) == "7"
    assert patient_of(KINDS["clinical_notes"], {"id": 7, "patient": "a/b"}) is None
    assert patient_of(KINDS["appointments"], {"id": 7, "patient": 7}) is None
