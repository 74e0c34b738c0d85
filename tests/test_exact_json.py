"""Numbers come back as they were sent, through the JSON reader, both stores and the digest."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import exact_json
from shared.documents import Documents
from shared.records.storable import digest, join, split

ODD = ["0.1234567890123456789", "1e400", "-1e-400", "123456789012345678901234567890.5", "9007199254740993.0"]
PLAIN = ["0.1", "1.0", "-2.5e3", "100", "1e22", "1e23", "0.30000000000000004"]


@pytest.mark.parametrize("text", [*ODD, *PLAIN])
def test_a_number_is_written_with_the_value_it_was_read_with(text: str) -> None:
    assert Decimal(exact_json.dumps(exact_json.loads(text))) == Decimal(text)


@pytest.mark.parametrize("text", PLAIN)
def test_what_a_float_holds_is_a_float(text: str) -> None:
    assert isinstance(exact_json.loads(text), float | int)


json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False),
        st.text(),
        st.decimals(allow_nan=False, allow_infinity=False),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=8,
)


@given(json_values)
def test_what_is_written_is_read_with_the_same_values(value: Any) -> None:
    written = exact_json.dumps(value)
    # The value that a reader with unlimited precision finds in the text.
    exact = json.loads(written, parse_float=Decimal, parse_int=Decimal)
    again = json.loads(exact_json.dumps(exact_json.loads(written)), parse_float=Decimal, parse_int=Decimal)
    assert again == exact


def test_a_text_that_looks_like_the_mark_of_a_number_stays_a_text() -> None:
    value = {"a": Decimal("1e400"), "b": "number 0", "c": "number *0"}
    assert exact_json.loads(exact_json.dumps(value)) == value


@pytest.mark.parametrize("text", ODD)
def test_a_record_with_such_a_number_comes_back_from_the_store_as_it_was_sent(documents: Documents, text: str) -> None:
    record = exact_json.loads(f'{{"id": 1, "dose": {text}, "nested": {{"list": [{text}, 1.5]}}, "plain": 1.5}}')
    parts = split(record)
    assert parts.native == {"id": 1, "plain": 1.5}
    stored = {**parts.native, "_sync": {"json": parts.json}}
    documents.transact(lambda transaction: transaction.set("medications/1", stored))
    found = documents.get("medications/1")
    assert found is not None
    assert join(found) == record
    assert digest(join(found)) == digest(record)
    other = exact_json.loads(f'{{"id": 1, "dose": {text}}}')
    assert digest(other) != digest({**other, "dose": float(text)})
