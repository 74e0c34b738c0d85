"""A signal ends the run in whatever Python is doing when it arrives."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.ending import interruptible, watched
from local.processes import ProcessDied, Processes
from tests.local.test_processes import listener

ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AGAIN = 0.01
LIMIT = 10.0


@pytest.fixture
def forgotten(monkeypatch: pytest.MonkeyPatch) -> list[type[BaseException]]:
    """What Python forgot, because it was raised while an object was finalized."""
    types: list[type[BaseException]] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda ignored: types.append(ignored.exc_type))
    return types


@pytest.fixture(autouse=True)
def handlers_are_given_back() -> Iterator[None]:
    numbers = (*ENDS, signal.SIGCHLD, signal.SIGALRM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    assert [signal.getsignal(number) for number in numbers] == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def while_finalizing(action: Callable[[], None]) -> None:
    class Finalized:
        pass

    one = Finalized()
    weakref.finalize(one, action)
    del one


def send(number: signal.Signals, process: int | None = None) -> None:
    """Send it to the process, or to this one, and go on as if nothing had been seen."""
    os.kill(process or os.getpid(), number)
    go_on()


def go_on() -> None:
    """Until something is raised: in turns, because a signal just before a wait does not end it."""
    for _ in range(int(LIMIT / AGAIN)):
        threading.Event().wait(AGAIN)
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("number", ENDS)
def test_each_signal_that_ends_a_run_is_a_keyboard_interrupt(number: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt), interruptible():
        send(number)


@pytest.mark.parametrize("number", ENDS)
def test_a_signal_that_python_forgot_ends_the_run_a_little_later(
    tmp_path: Path, forgotten: list[type[BaseException]], number: signal.Signals
) -> None:
    def deaf() -> None:
        with contextlib.suppress(KeyboardInterrupt):
            send(number)
        go_on()

    def run(processes: Processes) -> None:
        with watched(processes, again=AGAIN):
            while_finalizing(deaf)
            go_on()

    with Processes(tmp_path) as processes, pytest.raises(KeyboardInterrupt):
        run(processes)
    assert forgotten == [KeyboardInterrupt]


def test_the_death_of_a_process_that_python_forgot_ends_the_run_a_little_later(
    tmp_path: Path, forgotten: list[type[BaseException]]
) -> None:
    def run(processes: Processes) -> None:
        processes.start([listener("one")])
        with watched(processes, again=AGAIN):
            while_finalizing(lambda: send(signal.SIGKILL, processes.pids()["one"]))
            go_on()

    with Processes(tmp_path) as processes, pytest.raises(ProcessDied, match="one died"):
        run(processes)
    assert forgotten == [ProcessDied]


def test_nothing_is_raised_again_while_the_processes_are_stopped(tmp_path: Path) -> None:
    with interruptible(), Processes(tmp_path) as processes:
        with pytest.raises(KeyboardInterrupt), watched(processes, again=AGAIN):
            send(signal.SIGINT)
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_end_of_another_child_is_not_the_end_of_the_run(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes, watched(processes, again=AGAIN):
        processes.start([listener("one")])
        subprocess.run([sys.executable, "-S", "-c", ""], check=True)
        processes.check()
