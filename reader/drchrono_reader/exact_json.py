"""JSON in which every number keeps its value. Pure."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

# A float holds every decimal number of this many digits, and its shortest form is that number again.
_SAFE_DIGITS = 15


def loads(text: str) -> Any:
    """Return the value of `text`; a number that no float holds exactly as it is written is a Decimal."""
    return json.loads(text, parse_float=_number)


def _number(text: str) -> float | Decimal:
    value = float(text)
    if len(text) <= _SAFE_DIGITS and math.isfinite(value) and "e" not in text and "E" not in text:
        return value
    exact = Decimal(text)
    return value if math.isfinite(value) and Decimal(repr(value)) == exact else exact
