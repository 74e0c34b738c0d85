"""Values as Firestore's protobuf messages, and back.

Uses the bare messages: the library's wrappers around them take about twenty times as long.
`tests/cloud/test_firestore_values.py` checks that both produce the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from shared.documents import Data

# A `google.firestore.v1.Value`. Its class is created when the library is loaded; type checkers know only the wrapper.
Value = Any
Fields = MutableMapping[str, Value]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def encode(fields: Fields, data: Mapping[str, Any]) -> None:
    """Write `data` into `fields`, the fields of a document or a map.

    Raises TypeError for values that are neither JSON nor an aware datetime, ValueError for those that Firestore cannot
    hold.
    """
    for name, item in data.items():
        # The five frequent types are handled here, without a function call.
        kind = type(item)
        if kind is str:
            fields[name].string_value = item
        elif item is None:
            fields[name].null_value = 0
        elif kind is bool:
            fields[name].boolean_value = item
        elif kind is int:
            fields[name].integer_value = item
        elif kind is dict and item:
            encode(fields[name].map_value.fields, item)
        else:
            _encode_item(fields[name], item)


def _encode_item(value: Value, item: object) -> None:
    if item is None:
        value.null_value = 0
    elif isinstance(item, str):
        value.string_value = item
    elif isinstance(item, bool):
        value.boolean_value = item
    elif isinstance(item, int):
        value.integer_value = item
    elif isinstance(item, float):
        value.double_value = item
    elif isinstance(item, datetime):
        value.timestamp_value.CopyFrom(timestamp(item))
    elif isinstance(item, Mapping):
        value.map_value.SetInParent()  # marks an empty map as a map
        encode(value.map_value.fields, item)
    elif isinstance(item, Sequence) and not isinstance(item, bytes):
        value.array_value.SetInParent()
        add = value.array_value.values.add
        for one in item:
            _encode_item(add(), one)
    else:
        raise TypeError(f"Firestore documents hold no {type(item).__name__} here")


def timestamp(instant: datetime) -> Timestamp:
    """Raises TypeError if `instant` has no time zone."""
    since = instant - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1000)


def instant(stamp: Timestamp) -> datetime:
    """Return the instant in UTC, to the microsecond, as Firestore stores it."""
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)


def decode(fields: Mapping[str, Value]) -> Data:
    """Return the document or map with these fields.

    Types that this system never writes are approximated: a reference becomes its name, a point a map of two numbers.
    """
    return {name: _decode_item(value) for name, value in fields.items()}


def _decode_item(value: Value) -> Any:
    kind = value.WhichOneof("value_type")
    if kind in _DECODED:
        return _DECODED[kind](value)
    return getattr(value, kind)


_DECODED: Mapping[str | None, Callable[[Value], Any]] = {
    None: lambda value: None,
    "null_value": lambda value: None,
    "timestamp_value": lambda value: instant(value.timestamp_value),
    "map_value": lambda value: decode(value.map_value.fields),
    "array_value": lambda value: [_decode_item(one) for one in value.array_value.values],
    "geo_point_value": lambda value: {
        "latitude": value.geo_point_value.latitude,
        "longitude": value.geo_point_value.longitude,
    },
}
