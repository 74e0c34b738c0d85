"""Where the lines and bars of a chart stand, in the units of its SVG. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from console.history import SLICES, Slice

WIDTH, HEIGHT = 600, 150
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 10, 22  # room for the labels of the axes
INNER_WIDTH, INNER_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM


@dataclass(frozen=True)
class Bar:
    """x, width, and the upper ends of p50 and p95."""

    x: float
    width: float
    p50: float
    p95: float


@dataclass(frozen=True)
class Grid:
    """y and label of each line."""

    y: float
    label: str


def ceiling(highest: float) -> float:
    """The end of an axis that holds `highest`: 1, 2 or 5 times a power of ten."""
    if highest <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(highest))
    return next(step * power for step in (1, 2, 5, 10) if highest <= step * power * (1 + 1e-9))


def height(value: float, top: float) -> float:
    """The y of a value on an axis from 0 to `top`."""
    return round(TOP + INNER_HEIGHT * (1 - min(value, top) / top), 1)


def bars(slices: Sequence[Slice], top: float) -> list[Bar]:
    step = INNER_WIDTH / SLICES
    return [
        Bar(
            x=round(LEFT + INNER_WIDTH - (one.ago + 1) * step + 1, 1),
            width=round(step - 2, 1),
            # What is there must be seen, however short.
            p50=min(height(one.p50, top), TOP + INNER_HEIGHT - 2),
            p95=min(height(one.p95, top), TOP + INNER_HEIGHT - 2),
        )
        for one in slices
    ]


def line(points: Sequence[tuple[float, int]], top: float) -> str:
    """The `points` of a polyline."""
    return " ".join(f"{round(LEFT + INNER_WIDTH * at, 1)},{height(value, top)}" for at, value in points)


def area(points: Sequence[tuple[float, int]], top: float) -> str:
    """The `points` of the polygon below the line."""
    if not points:
        return ""
    floor = TOP + INNER_HEIGHT
    first, last = (round(LEFT + INNER_WIDTH * at, 1) for at in (points[0][0], points[-1][0]))
    return f"{first},{floor} {line(points, top)} {last},{floor}"


def grid(top: float, unit: str) -> list[Grid]:
    """0, the middle and the end of the axis."""
    return [Grid(height(value, top), f"{value:,g}{unit}") for value in (0, top / 2, top)]
