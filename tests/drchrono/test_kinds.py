"""Valid ids, and answers that must be the requested record."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.drchrono.ids import document_id, id_of, id_of_document, is_id
from shared.drchrono.kinds import KINDS, is_of, patient_of


@pytest.mark.parametrize("value", [7, "7", "12_2026-03-10", "a-b", "a/b", "..", "__id__", "Zoë 7", 10**20])
def test_whole_numbers_and_texts_are_ids(value: object) -> None:
    assert id_of(value) == str(value)


@pytest.mark.parametrize("value", [None, True, 1.5, "", "x" * 1401, 10**200, "\ud800", {}, [7]])
def test_other_values_are_no_ids(value: object) -> None:
    assert id_of(value) is None


@pytest.mark.parametrize("plain", ["7", "12_20260310", "a-b", "a.b~c"])
def test_a_plain_id_is_the_name_of_its_document(plain: str) -> None:
    assert document_id(plain) == plain


@given(st.text(min_size=1, max_size=40).filter(is_id), st.text(min_size=1, max_size=40).filter(is_id))
@example(".", "%2E")
@example("__a__", "%5F_a__")
@example("a/b", "a%2Fb")
def test_every_id_has_its_own_valid_document_name(one: str, other: str) -> None:
    name = document_id(one)
    assert id_of_document(name) == one
    assert "/" not in name
    assert ":" not in name  # which the queue puts between kind and id
    assert name not in (".", "..")
    assert not (name.startswith("__") and name.endswith("__"))
    assert (document_id(other) == name) is (other == one)


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


def test_a_record_names_the_patient_whose_lists_may_have_changed() -> None:
    assert patient_of(KINDS["patients"], {"id": 7}) == "7"
    assert patient_of(KINDS["clinical_notes"], {"id": 7, "patient": "a/b"}) == "a/b"
    assert patient_of(KINDS["clinical_notes"], {"id": 7, "patient": 1.5}) is None
    assert patient_of(KINDS["appointments"], {"id": 7, "patient": 7}) is None
