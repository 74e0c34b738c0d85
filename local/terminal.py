"""The output of a local run: bars and tables on a terminal, plain lines in a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

# Shortest time between two lines of progress in a pipe. One line per page or poll would be too many.
PLAIN_SECONDS = 10.0


@dataclass(frozen=True)
class Stage:
    """One bar: `done` of `total`, and the text beside it."""

    name: str
    done: int
    total: int
    words: str


class Bars(Protocol):
    def __call__(self, stages: Iterable[Stage]) -> None: ...


class Terminal:
    """Writes to the stdout that existed when it was made, even if `sys.stdout` is replaced later."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """clock: seconds."""
        self._console = Console(file=sys.stdout, highlight=False)
        self._clock = clock

    def say(self, text: str, style: str = "") -> None:
        """Print a text: wrapped between words on a terminal, unchanged in a pipe."""
        self._console.print(escape(text), style=style or None, soft_wrap=not self._console.is_terminal)

    def long(self, text: str) -> None:
        """Print text to copy, such as a URL or a command, without adding line breaks."""
        self._console.print(escape(text), soft_wrap=True)

    def heading(self, text: str) -> None:
        self._console.print(f"\n[bold]{escape(text)}[/bold]")

    def table(self, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="bold")
        for name in header:
            table.add_column(name, justify="left" if name == header[0] else "right")
        for row in rows:
            table.add_row(*map(escape, row))
        self._console.print(table)

    @contextmanager
    def bars(self) -> Iterator[Bars]:
        """Yield a function that shows the current stages. Call it whenever they change.

        In a pipe, the first call prints nothing, and later ones print what has changed, at most every ten seconds.
        """
        if not self._console.is_terminal:
            yield self._lines()
            return
        # At most 80 columns, with the longest name of a kind and the longest text.
        columns = (TextColumn("{task.description:20}"), BarColumn(10), TextColumn("{task.fields[words]}"))
        with Progress(*columns, TimeElapsedColumn(), console=self._console) as progress:
            tasks = {}

            def show(stages: Iterable[Stage]) -> None:
                for stage in stages:
                    if stage.name not in tasks:
                        tasks[stage.name] = progress.add_task(stage.name, words="")
                    progress.update(tasks[stage.name], completed=stage.done, total=stage.total, words=stage.words)

            yield show

    def _lines(self) -> Bars:
        said: dict[str, str] = {}
        at = self._clock()

        def show(stages: Iterable[Stage]) -> None:
            nonlocal at
            if said and self._clock() - at < PLAIN_SECONDS:
                return
            for stage in stages:
                if said.setdefault(stage.name, stage.words) != stage.words:
                    said[stage.name], at = stage.words, self._clock()
                    self.say(f"  {stage.name:20} {stage.words}")

        return show
