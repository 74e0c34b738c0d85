"""A record as a Firestore document and back, without loss.

The record's fields stay as DrChrono sent them. What Firestore cannot hold natively (an array directly in an array, a
whole number over 64 bits, a number that no float holds, NaN, text that is not UTF-8, a map deeper than 20 levels, a
reserved or empty field name) goes, by whole top-level fields, as JSON text into `_sync.json`. Limits:
cloud.google.com/firestore/quotas.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from shared import exact_json
from shared.documents import Data
from shared.errors import RecordTooLarge
from shared.records.signed_urls import without_signatures

META = "_sync"

LARGEST_DOCUMENT_BYTES = 1_048_576
META_BYTES = 2_048  # reserved for `_sync` without its JSON text, and for the document's name
DEEPEST_LEVEL = 19  # Firestore allows 20 levels of maps and arrays; the document is the first
LONGEST_NAME_BYTES = 1_500
MAP_BYTES = 32
MOST_NAMES = 10_000  # names to cache: a map may use ids as names


class Parts(NamedTuple):
    """native: the fields that Firestore holds as they are. json: the others as JSON text, or None. size: bytes of the
    whole document, as Firestore counts them.
    """

    native: Mapping[str, Any]
    json: str | None
    size: int


def split(record: Mapping[str, Any]) -> Parts:
    """Check and measure the record in one walk. Raises RecordTooLarge."""
    try:
        return _parts(record, {}, _map_bytes(record, level=0))
    except _NotNative:
        return _parts(*_separated(record))


def _parts(native: Mapping[str, Any], others: Data, size: int) -> Parts:
    text = exact_json.dumps(others) if others else None
    size += META_BYTES + (len(text) if text else 0)
    if size > LARGEST_DOCUMENT_BYTES:
        raise RecordTooLarge(f"the record needs {size} bytes, and a Firestore document holds {LARGEST_DOCUMENT_BYTES}")
    return Parts(native, text, size)


def _separated(record: Mapping[str, Any]) -> tuple[Data, Data, int]:
    """Return the native fields, the others, and the bytes of the native ones."""
    native: Data = {}
    others: Data = {}
    size = MAP_BYTES
    for name, value in record.items():
        try:
            size += _map_bytes({name: value}, level=0) - MAP_BYTES
            native[name] = value
        except _NotNative:
            others[name] = value
    return native, others, size


def surely_fits(text: str) -> bool:
    """Return whether a record with this canonical text is within the limit, without measuring it.

    An empty map in an array grows most: three characters of text become 32 bytes in Firestore.
    """
    return len(text) * (MAP_BYTES // 3 + 1) + MAP_BYTES + META_BYTES <= LARGEST_DOCUMENT_BYTES


def join(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record as DrChrono sent it, from a stored document."""
    text = document.get(META, {}).get("json")
    native = {name: value for name, value in document.items() if name != META}
    return native | exact_json.loads(text) if text else native


def canonical(record: Mapping[str, Any]) -> str:
    """Return the record as JSON without spaces and with sorted names: equal records have equal texts."""
    # A record parsed from JSON contains no cycles.
    return exact_json.dumps(record, sort_keys=True, separators=(",", ":"), check_circular=False)


def digest(record: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the record without the signatures of its URLs."""
    return digest_of(canonical(record))


def digest_of(text: str) -> str:
    """Return the digest of the record with this canonical text."""
    return hashlib.sha256(without_signatures(text).encode()).hexdigest()


class _NotNative(Exception):
    """Firestore cannot hold this value, or a field of this name."""


class _NameBytes(dict[str, int]):
    """Bytes by field name. The same few hundred names occur in every record, so each is measured once."""

    def __missing__(self, name: str) -> int:
        size = _text_bytes(name)
        reserved = name.startswith("__") and name.endswith("__")
        if name in ("", META) or reserved or len(name) > LONGEST_NAME_BYTES // 4:
            raise _NotNative
        if len(self) < MOST_NAMES:
            self[name] = size
        return size


_name_bytes = _NameBytes()


def _map_bytes(values: Mapping[str, Any], level: int) -> int:
    """Return the size as Firestore counts it (cloud.google.com/firestore/docs/storage-size). Raises _NotNative."""
    if level >= DEEPEST_LEVEL:
        raise _NotNative
    size = MAP_BYTES + sum(map(_name_bytes.__getitem__, values))
    for value in values.values():
        # Nearly all values are of these types, so they are measured here, without a function call.
        if type(value) is str:
            size += len(value) + 1 if value.isascii() else _text_bytes(value)
        elif value is None or value is True or value is False:
            size += 1
        else:
            size += _value_bytes(value, level + 1)
    return size


def _value_bytes(value: Any, level: int) -> int:
    kind = type(value)
    if value is None or kind is bool:
        return 1
    if kind is int and -(2**63) <= value < 2**63:
        return 8
    if kind is float and math.isfinite(value):
        return 8
    if kind is str:
        return _text_bytes(value)
    if kind is dict:
        return _map_bytes(value, level)
    if kind is list and level < DEEPEST_LEVEL:
        # Firestore does not allow an array directly in an array.
        return sum(_value_bytes(item, DEEPEST_LEVEL if type(item) is list else level + 1) for item in value)
    raise _NotNative


def _text_bytes(text: str) -> int:
    """Raises _NotNative for half of a surrogate pair, which JSON can carry and UTF-8 cannot."""
    try:
        return len(text.encode()) + 1
    except UnicodeEncodeError:
        raise _NotNative from None
