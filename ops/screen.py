"""What a person sees: tables of 80 columns on a terminal, plain text in a pipe, JSON where it was asked for."""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPED, WIDEST = 80, 100  # columns

GOOD, BAD, DIM = "green", "bold red", "dim"


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Rich would look for the file of `sys.stdout`, which `session` has put something else in the place of."""
        raise  # BrokenPipeError, which is being handled


class Screen:
    """Keeps the stream that it was made with: what the system's modules log to stdout meanwhile goes elsewhere."""

    def __init__(self) -> None:
        piped = not sys.stdout.isatty()
        # With NO_COLOR rich would still write bold and dim; without a colour system it writes neither.
        plain = piped or bool(os.environ.get("NO_COLOR"))
        self.console = _Console(file=sys.stdout, highlight=False, markup=False, color_system=None if plain else "auto")
        self.console.width = PIPED if piped else min(self.console.width, WIDEST)

    def say(self, text: str = "", style: str = "") -> None:
        self.console.print(Text(text, style=style))

    def long(self, text: str) -> None:
        """Something to copy: a URL, a command. Never broken into lines."""
        self.console.print(Text(text), soft_wrap=True)

    def command(self, why: str, command: str) -> None:
        """Something to type next."""
        self.say(why)
        self.long(f"  {command}")

    def ask(self, what: str) -> str:
        """A line that a person types; empty where nobody does."""
        self.console.file.write(f"{what}: ")
        self.console.file.flush()
        return sys.stdin.readline().strip()

    def fields(self, first: str, style: str, second: str, rest: str) -> None:
        """One line in three columns; the last goes on below itself."""
        row = Table.grid(padding=(0, 1, 0, 0))
        row.add_column(width=7, style=style)
        row.add_column(width=14)
        row.add_column(overflow="fold")
        row.add_row(Text(first), Text(second), Text(rest))
        self.show(row)

    def show(self, table: Table) -> None:
        """Without the blanks with which a table is filled up on the right."""
        with self.console.capture() as shown:
            self.console.print(table)
        self.console.file.write("".join(f"{line.rstrip()}\n" for line in shown.get().splitlines()))
        self.console.file.flush()

    def json(self, value: Any) -> None:
        """One document, for programs."""
        text = json.dumps(value, indent=2, default=_plain, ensure_ascii=False)
        self.console.file.write(text + "\n")


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """Without lines. `right`: the columns of numbers."""
    made = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def duration(seconds: float) -> str:
    """In the largest unit that says enough: `0.8 s`, `45 s`, `12 min`, `5 h`, `3 days`."""
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86400:.0f} days"


def ago(moment: datetime | None, now: datetime) -> str:
    return "never" if moment is None else f"{duration((now - moment).total_seconds())} ago"


def clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def many(count: int, one: str, more: str | None = None) -> str:
    """`1 record`, `1,234 records`."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"
