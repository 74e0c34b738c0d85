"""A closed pipe, such as that of `head`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.ops.conftest import Practice
from tests.ops.terminal import ROOT


@pytest.mark.parametrize("command", ["status", "status --json", "show patients KEY", "doctor", "retry", "--help"])
def test_a_closed_pipe_ends_a_command_quietly(practice: Practice, command: str) -> None:
    practice.authorize()
    practice.backfill()
    key = next(iter(practice.simulator.truth("patients")))
    arguments = command.replace("KEY", key).split() + ([] if command == "--help" else ["--local"])
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "ops", *arguments],
            cwd=practice.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
