"""JSON in which every number keeps its value. Pure."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

# A float keeps every decimal number of up to this many digits: its shortest text form is the same number.
_SAFE_DIGITS = 15


def loads(text: str) -> Any:
    """Return the value of `text`. A number that a float cannot hold exactly becomes a Decimal."""
    return json.loads(text, parse_float=_number)


def _number(text: str) -> float | Decimal:
    value = float(text)
    if len(text) <= _SAFE_DIGITS and math.isfinite(value) and "e" not in text and "E" not in text:
        return value
    exact = Decimal(text)
    return value if math.isfinite(value) and Decimal(repr(value)) == exact else exact
