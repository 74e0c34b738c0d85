"""Positions of a chart's lines and bars, in the units of its SVG. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from console.history import SLICES, Slice
from ops.screen import duration

WIDTH, HEIGHT = 400, 150
LEFT, RIGHT, TOP, BOTTOM = 54, 6, 10, 22  # room for the labels of the axes
INNER_WIDTH, INNER_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM


# The start of the logarithmic axis: most delays are hundredths of a second, and some take minutes.
LEAST_SECONDS = 0.01


@dataclass(frozen=True)
class Mark:
    """x of the centre, and y of p50 and p95."""

    x: float
    p50: float
    p95: float


@dataclass(frozen=True)
class Grid:
    """y and label of each line."""

    y: float
    label: str


def ceiling(highest: float) -> float:
    """Return the end of an axis that includes `highest`: 1, 2 or 5 times a power of ten."""
    if highest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(highest))
    return next(step * power for step in (1, 2, 5, 10) if highest <= step * power * (1 + 1e-9))


def height(value: float, top: float) -> float:
    """Return the y of a value on an axis from 0 to `top`."""
    return round(TOP + INNER_HEIGHT * (1 - min(value, top) / top), 1)


def decades(highest: float) -> float:
    """Return the end of a logarithmic axis that includes `highest` seconds: a power of ten, at least one second."""
    return 10.0 ** max(0, math.ceil(math.log10(max(highest, LEAST_SECONDS)) - 1e-9))


def depth(seconds: float, top: float) -> float:
    """Return the y of a delay on a logarithmic axis from LEAST_SECONDS to `top`."""
    share = math.log10(max(seconds, LEAST_SECONDS) / LEAST_SECONDS) / math.log10(top / LEAST_SECONDS)
    return round(TOP + INNER_HEIGHT * (1 - min(share, 1.0)), 1)


def marks(slices: Sequence[Slice], top: float) -> list[Mark]:
    step = INNER_WIDTH / SLICES
    return [
        Mark(round(LEFT + INNER_WIDTH - (one.ago + 0.5) * step, 1), depth(one.p50, top), depth(one.p95, top))
        for one in slices
    ]


def decade_grid(top: float) -> list[Grid]:
    """Return a line for each power of ten."""
    count = round(math.log10(top / LEAST_SECONDS))
    return [
        Grid(depth(value, top), _label(value)) for value in (LEAST_SECONDS * 10**power for power in range(count + 1))
    ]


def seconds(value: float) -> str:
    """Return a delay as text: `45 ms`, `2.3 s`, `31 s`, `12 min`."""
    return f"{value * 1000:.0f} ms" if value < 0.9995 else duration(value)


def _label(value: float) -> str:
    return f"{value:g} s" if value > 0.5 else f"{value * 1000:g} ms"


def line(points: Sequence[tuple[float, int]], top: float) -> str:
    """Return the `points` of a polyline."""
    return " ".join(f"{round(LEFT + INNER_WIDTH * at, 1)},{height(value, top)}" for at, value in points)


def area(points: Sequence[tuple[float, int]], top: float) -> str:
    """Return the `points` of the polygon below the line."""
    if not points:
        return ""
    floor = TOP + INNER_HEIGHT
    first, last = (round(LEFT + INNER_WIDTH * at, 1) for at in (points[0][0], points[-1][0]))
    return f"{first},{floor} {line(points, top)} {last},{floor}"


def grid(top: float) -> list[Grid]:
    """Return 0, the middle and the end of the axis."""
    return [Grid(height(value, top), f"{value:,g}") for value in (0, top / 2, top)]
