"""Ends a run on Ctrl-C, SIGTERM, a closed terminal, or the death of one of its processes."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from local.processes import Processes


@contextmanager
def interruptible() -> Iterator[None]:
    """Within the block, SIGTERM and SIGHUP (a closed terminal) end the run as Ctrl-C does."""
    # SIGINT as well, although Python handles it by default: a shell that starts a background job ignores it.
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
    """Raise ProcessDied in the main thread as soon as one of the processes ends."""

    def look(number: int, frame: FrameType | None) -> None:
        processes.check()

    signal.signal(signal.SIGCHLD, look)
