"""Records as documents and back: no JSON value is lost."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import exact_json
from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.errors import RecordTooLarge
from shared.records.prepared import prepare
from shared.records.storable import META, canonical, digest, join, split, surely_fits
from shared.records.store import Records, Source
from tests.records.test_ordering import NOON

nasty_keys = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["", ".", "a.b", "`", "__x__", "__name__", "_sync", "$time", "$", "a/b", "ключ", "x" * 1600, "\x00"]
    ),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.sampled_from(["\ud800", "a\x00b", "🙂"]),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(nasty_keys, inner, max_size=4), max_leaves=12
)
records = st.dictionaries(nasty_keys, values, max_size=8)


def exactly(value: Any) -> str:
    """Equal texts mean equal values and equal types: 1, 1.0 and true differ."""
    return json.dumps(value, sort_keys=True)


@given(records)
def test_a_split_record_is_joined_again_exactly(record: dict[str, Any]) -> None:
    parts = split(record)
    document = {**parts.native, META: {"json": parts.json}}
    assert exactly(join(document)) == exactly(record)


def is_native_name(name: str) -> bool:
    reserved = name.startswith("__") and name.endswith("__")
    return name not in ("", META) and not reserved and len(name) <= 375 and is_utf8(name)


def is_utf8(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def is_native(value: Any, level: int) -> bool:
    """The rule in its plainest form. Levels count from 1, the level of the record's own values."""
    match value:
        case str():
            return is_utf8(value)
        case None | bool():
            return True
        case int():
            return -(2**63) <= value < 2**63
        case float():
            return math.isfinite(value)
        case dict():
            inner = all(is_native_name(name) and is_native(item, level + 1) for name, item in value.items())
            return level < 19 and inner
        case list():
            return level < 19 and all(not isinstance(item, list) and is_native(item, level + 1) for item in value)
    return False


def size_of(value: Any) -> int:
    """As Firestore counts it (cloud.google.com/firestore/docs/storage-size)."""
    match value:
        case str():
            return len(value.encode()) + 1
        case None | bool():
            return 1
        case dict():
            return 32 + sum(size_of(name) + size_of(item) for name, item in value.items())
        case list():
            return sum(map(size_of, value))
    return 8


def nested(kinds: list[bool]) -> Any:
    """Return a value as deep as there are `kinds`: a map for true, a map in an array for false."""
    value: Any = 1
    for kind in kinds:
        value = {"a": value} if kind else [{"b": value}]
    return value


levels = st.lists(st.booleans(), min_size=6, max_size=22).map(nested)


@given(st.dictionaries(nasty_keys, values | levels, max_size=8))
def test_native_fields_and_size_follow_firestores_rules(record: dict[str, Any]) -> None:
    parts = split(record)
    native = {name: value for name, value in record.items() if is_native_name(name) and is_native(value, 1)}
    others = {name: value for name, value in record.items() if name not in native}
    assert parts.native == native
    assert parts.json == (exact_json.dumps(others) if others else None)
    assert parts.size == 2048 + size_of(native) + len(parts.json or "")


@pytest.mark.parametrize(
    "value",
    [2**63, -(2**63) - 1, math.inf, [[1]], {"": 1}, {"__x__": 1}, "\ud800", {"a": [{"b": "\udfff"}]}],
)
def test_a_value_that_firestore_cannot_hold_moves_its_whole_field_into_json(value: Any) -> None:
    parts = split({"plain": 1, "field": value})
    assert parts.native == {"plain": 1}
    assert parts.json is not None
    assert exactly(json.loads(parts.json)) == exactly({"field": value})


def test_twenty_levels_are_native_and_more_are_not() -> None:
    def nested(levels: int) -> Any:
        return 1 if levels == 0 else {"a": nested(levels - 1)}

    assert split({"field": nested(18)}).json is None
    assert split({"field": nested(60)}).json is not None


def test_a_record_over_the_limit_is_refused_with_its_size_and_not_cut() -> None:
    with pytest.raises(RecordTooLarge, match="1048576"):
        split({"text": "x" * 1_048_576})
    assert split({"text": "x" * 1_000_000}).size > 1_000_000


@given(records)
def test_a_document_is_at_most_eleven_times_as_large_as_its_text(record: dict[str, Any]) -> None:
    assert split(record).size <= 11 * len(canonical(record)) + 32 + 2048


def test_what_surely_fits_is_within_the_limit_even_if_it_grows_as_much_as_can_be() -> None:
    def of(maps: int) -> dict[str, Any]:
        return {"a": [{}] * maps}

    most = max(maps for maps in range(0, 40_000, 100) if surely_fits(canonical(of(maps))))
    assert split(of(most)).size <= 1_048_576
    assert most > 30_000
    with pytest.raises(RecordTooLarge):
        prepare(KINDS["patients"], "1", of(33_000))


def test_the_digest_tells_types_apart() -> None:
    assert len({digest({"a": value}) for value in (1, 1.0, True, "1", None)}) == 5


def made_up(rng: random.Random, depth: int = 0) -> Any:
    choice = rng.randrange(9 if depth < 4 else 7)
    if choice == 7:
        return [made_up(rng, depth + 1) for _ in range(rng.randrange(4))]
    if choice == 8:
        return {
            rng.choice("abcdefgh.$_é") * rng.randrange(1, 4): made_up(rng, depth + 1) for _ in range(rng.randrange(4))
        }
    return [
        None,
        rng.random() < 0.5,
        rng.randrange(-(2**66), 2**66),
        rng.choice([0.0, -0.0, 1.0, 1e300, 5e-324, rng.random()]),
        "".join(rng.choice('aé🙂\x00\n"\\') for _ in range(rng.randrange(12))),
        "2026-03-01T12:00:00",
        "",
    ][choice]


def test_ten_thousand_records_come_back_from_the_store_exactly(documents: Documents) -> None:
    rng = random.Random(5)
    made = {str(number): {"id": number, **{f"f{n}": made_up(rng) for n in range(6)}} for number in range(10_000)}
    result = Records(documents, lambda: NOON).pages.store(KINDS["patients"], made.values(), NOON, Source("backfill"))
    assert result.keys == made.keys()
    back = {key: exactly(join(document)) for key, document in documents.query("patients")}
    assert back == {key: exactly(record) for key, record in made.items()}
