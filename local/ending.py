"""What ends a run: Ctrl-C, SIGTERM, a terminal that was closed, and a process that died."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from local.processes import Processes


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM, and a terminal that was closed, end the run as Ctrl-C does."""
    # Also the one that is Python's own by default: whoever starts this in the background may have it ignored.
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers[:3]:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def watch(processes: Processes) -> None:
    """Whatever this thread is doing, a process that dies ends it with ProcessDied."""

    def look(number: int, frame: FrameType | None) -> None:
        processes.check()

    signal.signal(signal.SIGCHLD, look)
