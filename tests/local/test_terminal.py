"""What a pipe is told of progress."""

from __future__ import annotations

import pytest

from local.terminal import Stage, Terminal


def test_in_a_pipe_progress_is_a_line_every_ten_seconds_at_most(capsys: pytest.CaptureFixture[str]) -> None:
    """The live form polls each list several times a minute, and each poll shows another number."""
    seconds = 0.0
    terminal = Terminal(clock=lambda: seconds)
    with terminal.bars() as show:
        for poll in range(60):
            seconds = float(poll)
            show([Stage("patients", poll, 60, f"{poll} records")])
    assert capsys.readouterr().out.splitlines() == [f"  patients {poll} records" for poll in (10, 20, 30, 40, 50)]
