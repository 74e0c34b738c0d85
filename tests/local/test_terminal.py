"""What a terminal of 80 columns and a pipe are told."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from contextlib import redirect_stdout

import pytest

from local.options import ROOT
from local.terminal import Stage, Terminal

LONGEST = Stage("appointment_profiles", 1, 2, "12345 records, 120 requests, 12 min left")
LONG = "04:22:29 sync: completed 16, pages 3, same 29, seen 34, stored 11, unchanged 65, unsure 5; pending 33"


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"COLUMNS": "80", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_in_a_pipe_a_stage_that_changes_is_a_line_every_ten_seconds_at_most(capsys: pytest.CaptureFixture[str]) -> None:
    """The live form polls each list several times a minute, and each poll shows another number."""
    seconds = 0.0
    terminal = Terminal(clock=lambda: seconds)
    with terminal.bars() as show:
        for poll in range(60):
            seconds = float(poll)
            show([Stage("patients", poll, 60, f"{poll} records"), Stage("offices", 0, 1, "0 records")])
    lines = [f"  patients             {poll} records" for poll in (10, 20, 30, 40, 50)]
    assert capsys.readouterr().out.splitlines() == lines


def test_the_longest_line_of_a_pipe_fits_eighty_columns(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = 0.0
    terminal = Terminal(clock=lambda: seconds)
    with terminal.bars() as show:
        show([Stage(LONGEST.name, 0, 2, "0 records")])
        seconds = 10.0
        show([LONGEST])
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith(LONGEST.words)
    assert len(line) <= 80


def test_the_longest_bar_fits_eighty_columns() -> None:
    with redirect_stdout(Screen()) as screen, Terminal().bars() as show:
        show([LONGEST])
    line = plain(screen.getvalue()).splitlines()[-1]
    assert LONGEST.name in line
    assert LONGEST.words in line
    assert len(line.rstrip()) <= 80


def test_in_a_terminal_text_breaks_between_words_and_what_is_copied_does_not() -> None:
    with redirect_stdout(Screen()) as screen:
        terminal = Terminal()
        terminal.say(LONG)
        terminal.long("x" * 200)
    *said, copied = plain(screen.getvalue()).splitlines()
    assert len(said) == 2
    assert all(len(line) <= 80 for line in said)
    assert " ".join(line.strip() for line in said) == LONG
    assert copied == "x" * 200


@pytest.mark.parametrize(
    "command",
    [
        "make help",
        *(f"{sys.executable} -m {program} --help" for program in ("local run", "simulator", "ops", "ops doctor")),
    ],
)
def test_help_fits_eighty_columns(command: str) -> None:
    said = subprocess.run(command.split(), cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert len(said.splitlines()) > 5
    assert [line for line in said.splitlines() if len(line) > 80] == []


def plain(text: str) -> str:
    """Without the sequences that colour and move."""
    return re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", text)
