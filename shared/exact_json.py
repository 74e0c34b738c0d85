"""JSON in which every number keeps its value. Pure.

Python reads `0.1234567890123456789` and `1e400` as the nearest float, or as infinity. Here a number that no float holds
exactly as it is written becomes a `Decimal`, and is written again as the number that it is.
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal, InvalidOperation
from typing import Any

# A float holds every decimal number of this many digits, and its shortest form is that number again.
SAFE_DIGITS = 15


def loads(text: str | bytes) -> Any:
    """Raises ValueError where it is no JSON, and RecursionError where it is nested too deeply."""
    return json.loads(text, parse_float=_number)


def dumps(value: Any, **options: Any) -> str:
    """`json.dumps(value, **options)`, with each Decimal as a number. Raises TypeError for what JSON does not know."""
    numbers: list[Decimal] = []
    mark = ""

    def named(one: object) -> str:
        if not isinstance(one, Decimal):
            raise TypeError(f"JSON knows no {type(one).__name__}")
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
        raise ValueError("a number beyond all bounds") from None
    return value if math.isfinite(value) and Decimal(repr(value)) == exact else exact
