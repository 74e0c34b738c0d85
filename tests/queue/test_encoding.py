"""Entries as documents: written strictly, and read leniently, since a damaged document must not stop the queue."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.drchrono.ids import is_id
from shared.drchrono.kinds import KINDS
from shared.queue.encoding import from_document, target_of, to_document
from shared.queue.entries import Entry, Priority, Target

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
LATER = NOON + timedelta(hours=1)

instants = st.datetimes(timezones=st.just(timezone.utc))
targets = st.builds(
    Target,
    st.sampled_from(sorted(KINDS)),
    st.text(max_size=8).filter(is_id),
    st.sampled_from(["id", "patient", "appointment"]),
)
entries = st.builds(
    Entry,
    targets,
    st.text(max_size=8),
    st.sampled_from(Priority),
    instants,
    instants,
    instants,
    st.integers(0, 99),
    st.none() | st.text(max_size=20),
    st.booleans(),
    st.lists(st.text(max_size=8), max_size=4).map(tuple),
    st.none() | instants,
    st.none() | instants,
    st.booleans(),
)


@given(entries)
def test_an_entry_comes_back_as_it_was(entry: Entry) -> None:
    assert from_document(entry.target.key, to_document(entry), LATER) == entry


@given(targets)
def test_the_name_of_a_document_gives_its_target_back(target: Target) -> None:
    assert target_of(target.key) == target


@pytest.mark.parametrize("name", ["", "patients", "patients:", "nothing:7", ":7", "patient:7"])
def test_other_names_give_no_target(name: str) -> None:
    assert target_of(name) is None
    assert from_document(name, {}, NOON) is None


@pytest.mark.parametrize("colon", ["medications:7:8", "medications:owner:8"])
def test_what_stands_before_a_second_colon_is_a_list_only_of_a_patient_or_an_appointment(colon: str) -> None:
    found = target_of(colon)
    assert found is not None
    assert found.by == "id"


ENTRY = Entry(Target("patients", "7"), "quota", Priority.CHILDREN, NOON, NOON, NOON, deliveries=("d1",))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((name, value) for name in ("first_seen", "last_seen", "due") for value in (None, "2026-03-01", 5)),
        *((name, value) for name in ("lease_until", "absent_since") for value in ("2026-03-01", False)),
        ("due", datetime(2026, 3, 1)),  # noqa: DTZ001 (it has to be without a zone)
        ("kind", "nothing"),
        ("updated_at", 5),
        ("priority", 1),
        ("attempts", "many"),
        ("deliveries", None),
    ],
)
def test_one_damaged_field_makes_the_target_due_now(field: str, value: object) -> None:
    data = to_document(ENTRY)
    found = from_document("patients:7", data | {field: value}, LATER)
    assert found == Entry(Target("patients", "7"), "malformed", Priority.EVENT, LATER, LATER, LATER)


def test_fields_that_older_entries_lack_are_not_missed() -> None:
    data = to_document(ENTRY)
    del data["absent_since"], data["unstorable"]
    assert from_document("patients:7", data, LATER) == ENTRY
