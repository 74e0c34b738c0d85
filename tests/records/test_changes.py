"""Which version a stored record gets, what happened to it, and how much of its history one document holds."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from shared.feed.entries import Entry, Operation
from shared.records.changes import Change, Difference, difference, history_of, operation_of, version_after
from shared.records.ordering import Copy
from shared.records.storable import META, split

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
READABLE = {"fetched_at": NOON, "events_until": NOON, "digest": "d", "deleted": False}


@pytest.mark.parametrize(
    ("found", "version"),
    [
        (None, 1),
        ({"id": 1}, 1),
        ({"id": 1, META: "of another program"}, 1),
        ({"id": 1, META: {"of": "another program"}}, 1),
        # Stored before versions were counted: that was the first.
        ({"id": 1, META: READABLE}, 2),
        ({"id": 1, META: READABLE | {"version": 7}}, 8),
        # The rest of `_sync` is damaged: its version still never comes twice.
        ({"id": 1, META: {"version": 7}}, 8),
    ],
)
def test_the_version_after_a_document(found: dict[str, Any] | None, version: int) -> None:
    assert version_after(found) == version


@pytest.mark.parametrize(
    ("before", "deleted", "operation"),
    [
        (None, False, Operation.CREATED),
        ("living", False, Operation.CHANGED),
        ("deleted", False, Operation.RETURNED),
        (None, True, Operation.DELETED),
        ("living", True, Operation.DELETED),
    ],
)
def test_what_happened_to_a_record(before: str | None, deleted: bool, operation: Operation) -> None:
    copy = None if before is None else Copy(NOON, NOON, "d", None, deleted=before == "deleted")
    assert operation_of(copy, deleted=deleted) is operation


def test_a_field_that_was_added_or_removed_is_on_one_side() -> None:
    differs = difference({"same": 1, "changed": 1, "removed": 1}, {"same": 1, "changed": 2, "added": 1})
    assert differs == Difference({"changed": 1, "removed": 1}, {"changed": 2, "added": 1})
    assert differs.names == {"changed", "removed", "added"}


def test_values_differ_by_type_and_not_by_the_signature_of_a_link() -> None:
    link = "https://files.example.com/a.pdf?AWSAccessKeyId=k&Signature={}&Expires=1"
    for before, after, names in (
        (1, 1.0, {"field"}),
        (1, True, {"field"}),
        ({"a": [1]}, {"a": [1]}, set()),
        (link.format("a"), link.format("b"), set()),
        (link.format("a"), link.replace("a.pdf", "b.pdf").format("a"), {"field"}),
    ):
        assert difference({"field": before}, {"field": after}).names == names


def history(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    entry = Entry("patients", "1", 3, Operation.CHANGED, NOON, fields=("name",))
    path, document = history_of(Change(entry, "patients/1", Difference(before, after)), timedelta(days=10))
    assert path == "patients/1/history/3"
    assert document[META]["expires_at"] == NOON + timedelta(days=10)
    return document


def test_history_as_large_as_a_document_is_kept_whole_and_one_byte_more_is_not() -> None:
    names_bytes = 400 + len("name") + 1
    room = 1_048_576 - names_bytes - split({"before": {"name": "a"}, "after": {"name": ""}}).size
    whole = history({"name": "a"}, {"name": "x" * room})
    assert "omitted" not in whole[META]
    assert len(whole["after"]["name"]) == room

    cut = history({"name": "a"}, {"name": "x" * (room + 1)})
    assert cut[META]["omitted"] == ["after"]
    assert cut["before"] == {"name": "a"}


def test_history_keeps_as_text_what_firestore_cannot_hold() -> None:
    assert "json" not in history({"name": 1}, {"name": 2})[META]
    document = history({"name": 1}, {"name": 2**64})
    assert document["before"] == {"name": 1}
    assert json.loads(document[META]["json"]) == {"after": {"name": 2**64}}


def test_history_that_fits_nowhere_names_both_sides_as_omitted() -> None:
    large = {"name": "x" * 1_048_576}
    document = history(large, large)
    assert document[META]["omitted"] == ["after", "before"]
    assert set(document) == {META}
