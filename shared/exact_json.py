"""JSON in which every number keeps its value. Pure.

Python's `json` reads `0.1234567890123456789` as the nearest float, and `1e400` as infinity. Here, a number without an
exact float becomes a `Decimal`, and is written as the same number again.
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal, InvalidOperation
from typing import Any

# Every decimal number of this many digits survives the conversion to float and back.
SAFE_DIGITS = 15


def loads(text: str | bytes) -> Any:
    """Raises ValueError if the text is not JSON, and RecursionError if it is nested too deeply."""
    return json.loads(text, parse_float=_number)


def dumps(value: Any, **options: Any) -> str:
    """Return `json.dumps(value, **options)`, with each Decimal as a number. Raises TypeError for other types."""
    numbers: list[Decimal] = []
    mark = ""

    def named(one: object) -> str:
        if not isinstance(one, Decimal):
            raise TypeError(f"{type(one).__name__} cannot be written as JSON")
        numbers.append(one)
        return f"{mark}{len(numbers) - 1}"

    text = json.dumps(value, default=named, **options)
    if not numbers:
        return text
    mark = "number "
    while mark in text:
        mark += "*"
    numbers.clear()
    text = json.dumps(value, default=named, **options)
    return re.sub(f'"{re.escape(mark)}(\\d+)"', lambda found: str(numbers[int(found[1])]), text)


def _number(text: str) -> float | Decimal:
    value = float(text)
    if len(text) <= SAFE_DIGITS and math.isfinite(value) and "e" not in text and "E" not in text:
        return value
    try:
        exact = Decimal(text)
    except InvalidOperation:
        raise ValueError("a number is too large") from None
    return value if math.isfinite(value) and Decimal(repr(value)) == exact else exact
