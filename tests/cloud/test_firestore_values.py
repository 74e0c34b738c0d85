"""Messages to Firestore equal those of the library byte for byte, and are read as the library reads them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from google.cloud.firestore_v1 import _helpers
from google.cloud.firestore_v1.types import Document
from hypothesis import given
from hypothesis import strategies as st

from shared.cloud.firestore_calls import Writes, field_path
from shared.cloud.firestore_values import decode, encode, instant, timestamp
from shared.queue.entries import Priority

PREFIX = "projects/p/databases/(default)/documents/"

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8) | st.sampled_from(
    [".", "a.b", "`", "\\", "a/b", "ключ", "$time", "_sync", "\x00", "x" * 400]
)
instants = st.datetimes(timezones=st.just(timezone.utc)).map(
    lambda when: when.astimezone(timezone(timedelta(hours=5.5))) if when.minute % 2 and when.year < 9999 else when
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    instants,
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner | st.dictionaries(names, inner, max_size=3), max_size=4)
        | st.dictionaries(names, inner, max_size=4)
    ),
    max_leaves=30,
)
documents = st.dictionaries(names, values, max_size=8)
plain_names = st.from_regex(r"[_a-zA-Z][_a-zA-Z0-9]*", fullmatch=True)


def library_s(writes: list[Any]) -> bytes:
    [write] = writes
    return bytes(type(write).pb(write).SerializeToString(deterministic=True))


def ours(write: Any) -> bytes:
    # Maps have no order of their own in protobuf: this one sorts them, on both sides.
    return bytes(write.SerializeToString(deterministic=True))


def writes() -> Writes:
    from google.cloud.firestore_v1.types import CommitRequest

    return Writes(CommitRequest.pb()(), PREFIX)


@given(documents)
def test_a_set_is_the_library_s(data: dict[str, Any]) -> None:
    assert ours(writes().set("c/d", data)) == library_s(_helpers.pbs_for_set_no_merge(f"{PREFIX}c/d", data))


@given(st.dictionaries(plain_names, values, min_size=1, max_size=5))
def test_an_update_is_the_library_s(data: dict[str, Any]) -> None:
    assert ours(writes().update("c/d", data)) == library_s(_helpers.pbs_for_update(f"{PREFIX}c/d", data, None))


def test_a_deletion_is_the_library_s() -> None:
    assert ours(writes().delete("c/d")) == library_s([_helpers.pb_for_delete(f"{PREFIX}c/d", None)])


@given(documents)
def test_encoded_values_are_decoded_again_as_the_library_does(data: dict[str, Any]) -> None:
    document = Document.pb()()
    encode(document.fields, data)
    assert repr(decode(document.fields)) == repr(ordered(decode(document.fields), in_utc(data)))
    assert decode(document.fields) == _helpers.decode_dict(document.fields, None)


def in_utc(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).replace(fold=0)
    if isinstance(value, dict):
        return {name: in_utc(item) for name, item in value.items()}
    return [in_utc(item) for item in value] if isinstance(value, list) else value


def ordered(like: Any, value: Any) -> Any:
    """Return `value` with its names in the order of `like`."""
    if isinstance(value, dict):
        assert value.keys() == like.keys()
        return {name: ordered(item, value[name]) for name, item in like.items()}
    return [ordered(*pair) for pair in zip(like, value, strict=True)] if isinstance(value, list) else value


@given(names)
def test_the_path_of_a_field_is_the_library_s(name: str) -> None:
    from google.cloud.firestore_v1.field_path import FieldPath

    assert field_path(name) == FieldPath(name).to_api_repr()


@given(instants)
def test_an_instant_keeps_its_microseconds(when: datetime) -> None:
    assert instant(timestamp(when)) == when


def test_subclasses_are_encoded_as_their_base_types() -> None:
    data = {"priority": Priority.CONFIRM, "nested": {"priority": [Priority.EVENT]}, "tuple": (1, 2)}
    assert ours(writes().set("c/d", data)) == library_s(_helpers.pbs_for_set_no_merge(f"{PREFIX}c/d", data))


@pytest.mark.parametrize("value", [object(), b"bytes", {1, 2}, datetime(2026, 3, 1)])  # noqa: DTZ001 (without a zone)
def test_values_that_documents_never_hold_are_an_error(value: object) -> None:
    with pytest.raises(TypeError):
        writes().set("c/d", {"field": value})


@pytest.mark.parametrize("value", [2**63, "\ud800"])
def test_values_that_firestore_cannot_hold_are_an_error(value: object) -> None:
    with pytest.raises(ValueError, match=r"out of range|surrogates"):
        writes().set("c/d", {"field": value})
