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
from decimal import Decimal
from typing import Any, NamedTuple

from shared import exact_json
from shared.documents import Data
from shared.errors import RecordTooLarge
from shared.records.signed_urls import without_signatures

META = "_sync"

LARGEST_DOCUMENT_BYTES = 1_048_576
META_BYTES = 2_048  # room for `_sync` without its JSON text, and for the document's name
DEEPEST_LEVEL = 19  # Firestore allows 20 levels of maps and arrays; the document is the first
LONGEST_NAME_BYTES = 1_500


class Parts(NamedTuple):
    """native: the fields that Firestore holds as they are. json: the others as JSON text, None where there are none.

    size: bytes of the whole document as Firestore counts them.
    """

    native: Data
    json: str | None
    size: int


def split(record: Mapping[str, Any]) -> Parts:
    """Raises RecordTooLarge."""
    native = {name: value for name, value in record.items() if _is_native_name(name) and _is_native(value, 1)}
    others = {name: value for name, value in record.items() if name not in native}
    text = exact_json.dumps(others) if others else None
    size = META_BYTES + _bytes(native) + (len(text) if text else 0)
    if size > LARGEST_DOCUMENT_BYTES:
        raise RecordTooLarge(f"the record needs {size} bytes, and a Firestore document holds {LARGEST_DOCUMENT_BYTES}")
    return Parts(native, text, size)


def join(document: Mapping[str, Any]) -> dict[str, Any]:
    """The record as DrChrono sent it, from a stored document."""
    text = document.get(META, {}).get("json")
    native = {name: value for name, value in document.items() if name != META}
    return native | exact_json.loads(text) if text else native


def digest(record: Mapping[str, Any]) -> str:
    """SHA-256 of the record: equal exactly when nothing but the signatures of its URLs differs."""
    canonical = exact_json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(without_signatures(canonical).encode()).hexdigest()


def _is_native_name(name: str) -> bool:
    reserved = name.startswith("__") and name.endswith("__")
    return (
        name not in ("", META)
        and not reserved
        and _utf8_bytes(name) is not None
        and len(name) <= LONGEST_NAME_BYTES // 4
    )


def _is_native(value: Any, level: int) -> bool:
    if isinstance(value, str):
        return _utf8_bytes(value) is not None
    if isinstance(value, bool) or value is None:
        return True
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Decimal) or level >= DEEPEST_LEVEL:
        return False
    if isinstance(value, dict):
        return all(_is_native_name(name) and _is_native(item, level + 1) for name, item in value.items())
    return all(not isinstance(item, list) and _is_native(item, level + 1) for item in value)


def _utf8_bytes(text: str) -> int | None:
    """Length as UTF-8, or None: JSON can carry half of a surrogate pair, which UTF-8 cannot."""
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        return None


def _bytes(value: Any) -> int:
    """Size as Firestore counts it (cloud.google.com/firestore/docs/storage-size)."""
    if isinstance(value, str):
        return (_utf8_bytes(value) or 0) + 1
    if isinstance(value, bool) or value is None:
        return 1
    if isinstance(value, dict):
        return 32 + sum((_utf8_bytes(name) or 0) + 1 + _bytes(item) for name, item in value.items())
    if isinstance(value, list):
        return sum(map(_bytes, value))
    return 8
