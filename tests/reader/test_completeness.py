"""The conclusions of a reader from `sync_status/<kind>`: nothing unknown counts as complete."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drchrono_reader import CHART_KINDS, Copy
from drchrono_reader.status import status_of
from shared.documents import Documents
from tests.reader.test_copy import delete, ids, store
from tests.records.test_ordering import NOON

HOUR = timedelta(hours=1)
COMPLETE: dict[str, Any] = {
    "complete_until": NOON,
    "pending": 0,
    "oldest_pending": None,
    "problem": None,
    "coverage": {"user": 5, "doctors": 1, "of": 6},
    "last_full_pass": NOON - HOUR,
    "count": 2,
}


def tell(documents: Documents, kind: str, **fields: Any) -> None:
    documents.transact(lambda transaction: transaction.set(f"sync_status/{kind}", COMPLETE | fields))


def test_without_a_status_nothing_is_complete(copy: Copy) -> None:
    assert copy.is_complete("patients", at=NOON - 9999 * HOUR) is False
    assert copy.status("patients").complete_until is None


def test_a_kind_is_complete_up_to_the_moment_it_says(copy: Copy, documents: Documents) -> None:
    tell(documents, "patients")
    assert copy.is_complete("patients", at=NOON)
    assert not copy.is_complete("patients", at=NOON + timedelta(microseconds=1))
    assert not copy.is_complete("appointments", at=NOON)
    status = copy.status("patients")
    assert (status.count, status.last_full_pass, status.coverage) == (2, NOON - HOUR, COMPLETE["coverage"])


def test_pending_entries_limit_the_claim(copy: Copy, documents: Documents) -> None:
    tell(documents, "patients", pending=1, oldest_pending=NOON - HOUR)
    assert copy.is_complete("patients", at=NOON - HOUR)
    assert not copy.is_complete("patients", at=NOON)
    tell(documents, "patients", pending=1)
    assert not copy.is_complete("patients", at=NOON - HOUR)


def test_a_moment_without_a_time_zone_is_refused(copy: Copy) -> None:
    with pytest.raises(ValueError, match="time zone"):
        copy.is_complete("patients", at=NOON.replace(tzinfo=None))


strange = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(max_size=3),
    st.sampled_from([[], {}, NOON.replace(tzinfo=None)]),
)


@given(st.dictionaries(st.sampled_from(sorted(COMPLETE)), strange, max_size=7))
def test_a_status_that_cannot_be_read_claims_nothing(fields: dict[str, Any]) -> None:
    status = status_of("patients", COMPLETE | fields)
    readable = type(fields.get("pending", 0)) is int and "complete_until" not in fields
    if status.is_complete(at=NOON):
        assert readable


def chart(documents: Documents) -> None:
    store(documents, "patients", {"id": 5}, {"id": 6})
    store(documents, "appointments", {"id": "1", "patient": 5}, {"id": "2", "patient": 6}, {"id": "3", "patient": None})
    store(documents, "clinical_notes", {"appointment": "1", "patient": "5"}, {"appointment": "2", "patient": "6"})
    for kind in ("medications", "problems", "allergies"):
        store(documents, kind, {"id": 1, "patient": 5}, {"id": 2, "patient": 6}, {"id": 3, "patient": 5})
        delete(documents, kind, "3")


def test_a_chart_includes_the_patients_records_in_either_form_of_the_id(copy: Copy, documents: Documents) -> None:
    chart(documents)
    for asked in (5, "5"):
        found = copy.chart(asked)
        assert found.patient is not None
        assert found.patient.id == "5"
        for kind in CHART_KINDS:
            assert ids(getattr(found, kind)) == ["1"]
    assert ids(copy.chart(5, deleted=True).problems) == ["1", "3"]
    assert copy.chart(7).patient is None
    assert copy.chart("05").patient is None
    assert ids(copy.chart("05").appointments) == []
    assert copy.chart("9" * 40).problems == []


def test_a_chart_is_as_complete_as_its_least_complete_kind(copy: Copy, documents: Documents) -> None:
    chart(documents)
    for kind in ("patients", *CHART_KINDS):
        tell(documents, kind)
    assert copy.chart(5).complete_until == NOON
    assert copy.chart(5).is_complete(at=NOON)
    tell(documents, "problems", complete_until=NOON - HOUR)
    tell(documents, "allergies", complete_until=None)
    found = copy.chart(5)
    assert found.incomplete(at=NOON) == ["problems", "allergies"]
    assert found.incomplete(at=NOON - HOUR) == ["allergies"]
    assert found.complete_until is None


def test_the_statuses_of_a_chart_are_read_before_its_records(copy: Copy, documents: Documents) -> None:
    """Otherwise, a change between the two reads would make the claim cover an older chart."""
    order: list[str] = []
    inner = copy._store

    class Watched:
        def get(self, collection: str, name: str) -> Any:
            order.append(collection)
            return inner.get(collection, name)

        def select(self, collection: str, *arguments: Any, **options: Any) -> Any:
            order.append(collection)
            return inner.select(collection, *arguments, **options)

        def count(self, *arguments: Any) -> int:
            return inner.count(*arguments)

    copy._store = Watched()
    copy.chart(5)
    kinds = ("patients", *CHART_KINDS)
    assert order[: len(kinds)] == ["sync_status"] * len(kinds)
    assert set(order[len(kinds) :]) == set(kinds)
