"""The report of a benchmark (a table of rows and the targets, also as JSON for RESULTS.md), and its command line."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

Row = dict[str, str | float | int]


def percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1] if len(values) > 1 else float("nan")


def median_row(rows: Sequence[Row]) -> Row:
    """Return the value that all rows have in a column, or their median."""
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    return {
        name: values[0] if len(set(values)) == 1 else statistics.median(map(float, values))
        for name, values in columns.items()
    }


@dataclass(frozen=True)
class Want:
    """A target. `wanted` and `measured` are texts for people."""

    what: str
    wanted: str
    measured: str
    met: bool


def bounded(what: str, sign: Literal["<=", ">="], bound: float, value: float, text: str) -> Want:
    """Return the target that `value`, in the report `text`, is at most or at least `bound`."""
    return Want(what, f"{sign} {bound}", text, value <= bound if sign == "<=" else value >= bound)


@dataclass
class Report:
    """notes: what a reader must know about the rows, one sentence each."""

    name: str
    rows: list[Row] = field(default_factory=list)
    wanted: list[Want] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def show(self, file: Path | None) -> None:
        """Print the tables (80 columns if piped), and write the JSON if a file is given."""
        console = Console(soft_wrap=False)
        for columns in _layouts(self.rows):
            table = Table(*columns, box=None, pad_edge=False)
            for row in self.rows:
                if list(row) == columns:
                    table.add_row(*map(_text, row.values()))
            console.print(table, "")
        for want in self.wanted:
            console.print(f"{'met   ' if want.met else 'MISSED'} {want.what}: {want.measured} (wanted {want.wanted})")
        for note in self.notes:
            console.print(note)
        if file:
            file.write_text(json.dumps(asdict(self), indent=1) + "\n")


def program(measure: Callable[..., Report], description: str | None, quick: str) -> None:
    """Run `measure(quick=…)` as the command line says, and show its report. quick: what a quick run is, for the help.

    What is printed while it measures, such as the system's log lines, is discarded.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to this file")
    options = parser.parse_args()
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        report = measure(quick=options.quick)
    report.show(options.json)


def _layouts(rows: Sequence[Row]) -> list[list[str]]:
    """Rows with different columns go into separate tables."""
    layouts: list[list[str]] = []
    for row in rows:
        if list(row) not in layouts:
            layouts.append(list(row))
    return layouts


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
