"""A function in a process of its own: its result arrives whatever it prints, and its failure is not taken for one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.processes import finish, start


def doubled(number: int) -> dict[str, int]:
    sys.stdout.write("a log line\n")
    return {"doubled": 2 * number}


def failing() -> None:
    raise ValueError


def test_the_result_arrives_without_what_the_function_prints() -> None:
    assert finish(start(doubled, number=4)) == {"doubled": 8}


def test_a_failure_is_raised() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        finish(start(failing))
