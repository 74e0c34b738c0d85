"""Ends a run on Ctrl-C, SIGTERM, a closed terminal, or the death of one of its processes."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from local.processes import Processes

AGAIN_SECONDS = 1.0

# SIGINT as well, although Python handles it by default: a shell that starts a background job ignores it.
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interruptible() -> Iterator[None]:
    """Within the block, SIGTERM and SIGHUP (a closed terminal) end the run as Ctrl-C does."""
    with _handled(_ENDS, signal.default_int_handler):
        yield


@contextmanager
def watched(processes: Processes, *, again: float = AGAIN_SECONDS) -> Iterator[None]:
    """Raise KeyboardInterrupt in the main thread as soon as one of these signals arrives, and ProcessDied as soon as
    one of the processes ends.

    again: seconds until it is raised once more if the block goes on. Python prints and then forgets what a signal's
    handler raises while an object is finalized ("Exception ignored in").
    """
    interrupted = False

    def look(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted = interrupted or number in _ENDS
        signal.setitimer(signal.ITIMER_REAL, again)
        if interrupted:
            raise KeyboardInterrupt
        processes.check()

    with _handled((*_ENDS, signal.SIGCHLD, signal.SIGALRM), look):
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def _handled(numbers: Sequence[signal.Signals], handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
