"""Output: tables of 80 columns on a terminal, plain text in a pipe, JSON on request."""

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
        """Rich would use the file of `sys.stdout`, which `session` has replaced."""
        raise  # the BrokenPipeError that is being handled


class Screen:
    """Writes to the stream that existed when it was made. Log lines of the system go elsewhere."""

    def __init__(self) -> None:
        piped = not sys.stdout.isatty()
        # With NO_COLOR, rich still writes bold and dim. Without a colour system, it writes neither.
        plain = piped or bool(os.environ.get("NO_COLOR"))
        self.console = _Console(file=sys.stdout, highlight=False, markup=False, color_system=None if plain else "auto")
        self.console.width = PIPED if piped else min(self.console.width, WIDEST)

    def say(self, text: str = "", style: str = "") -> None:
        self.console.print(Text(text, style=style))

    def long(self, text: str) -> None:
        """Print text to copy, such as a URL or a command, without line breaks."""
        self.console.print(Text(text), soft_wrap=True)

    def command(self, why: str, command: str) -> None:
        """Print the command to type next."""
        self.say(why)
        self.long(f"  {command}")

    def ask(self, what: str) -> str:
        """Return a line that a person types; empty if there is no terminal input."""
        self.console.file.write(f"{what}: ")
        self.console.file.flush()
        return sys.stdin.readline().strip()

    def fields(self, first: str, style: str, second: str, rest: str) -> None:
        """Print one line in three columns. The last column wraps within itself."""
        row = Table.grid(padding=(0, 1, 0, 0))
        row.add_column(width=7, style=style)
        row.add_column(width=14)
        row.add_column(overflow="fold")
        row.add_row(Text(first), Text(second), Text(rest))
        self.show(row)

    def show(self, table: Table) -> None:
        """Print without the blanks that pad a table on the right."""
        with self.console.capture() as shown:
            self.console.print(table)
        self.console.file.write("".join(f"{line.rstrip()}\n" for line in shown.get().splitlines()))
        self.console.file.flush()

    def json(self, value: Any) -> None:
        """Print one JSON document."""
        text = json.dumps(value, indent=2, default=_plain, ensure_ascii=False)
        self.console.file.write(text + "\n")


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def table(*columns: str, right: tuple[str, ...] = ()) -> Table:
    """Return a table without lines. `right`: its columns of numbers."""
    made = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def duration(seconds: float) -> str:
    """Return the time in the largest suitable unit: `0.8 s`, `45 s`, `12 min`, `5 h`, `3 days`."""
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
    """Return for example `1 record`, `1,234 records`."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"
