"""The simulator's clock, and everything that waits on it.

A virtual clock is one that runs at speed 0: it moves only by `advance`, which does all that falls due on the way,
in order and in the caller's thread, so that a test of a seven-hour redelivery neither sleeps nor races.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Condition, RLock, Thread

logger = logging.getLogger("simulator")
Action = Callable[[], None]
_WORKERS = 8  # enough for a receiver that takes its time; few enough not to crowd a small machine


class Clock:
    """Seconds since 1970 (UTC), with timers. `speed` is simulator seconds per real second; 0 is virtual."""

    def __init__(self, *, start: float | None = None, speed: float = 1.0) -> None:
        self._base = time.time() if start is None else start
        self._since = time.monotonic()
        self._speed = speed
        self._timers: list[tuple[float, int, Action]] = []
        self._count = itertools.count()
        self._changed = Condition()
        self._advancing = RLock()
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="simulator")
        self._running = 0
        self._closed = False
        Thread(target=self._watch, name="simulator-timers", daemon=True).start()

    @property
    def speed(self) -> float:
        return self._speed

    def now(self) -> float:
        return self._base + (time.monotonic() - self._since) * self._speed

    def set_speed(self, speed: float) -> None:
        if speed < 0:
            raise ValueError("the clock does not go back")
        with self._changed:
            self._base, self._since, self._speed = self.now(), time.monotonic(), speed
            self._changed.notify_all()

    def advance(self, seconds: float) -> float:
        """Move on by `seconds` (never back) and return the new time."""
        if seconds < 0:
            raise ValueError("the clock does not go back")
        with self._advancing:
            if self._speed > 0:
                with self._changed:
                    self._base += seconds
                    self._changed.notify_all()
                return self.now()
            self.settle()
            target = self._base + seconds
            while (due := self._pop(target)) is not None:
                when, action = due
                self._base = max(self._base, when)
                self._guard(action)
                self.settle()
            self._base = target
            return target

    def at(self, when: float, action: Action) -> None:
        """Do `action` once the clock shows `when`; in the background at once if it already does."""
        if when <= self.now():
            return self.soon(action)
        with self._changed:
            heapq.heappush(self._timers, (when, next(self._count), action))
            self._changed.notify_all()
        return None

    def soon(self, action: Action) -> None:
        """Do `action` in the background now."""
        with self._changed:
            if self._closed:
                return
            self._running += 1
        self._pool.submit(self._work, action)

    def settle(self, timeout_seconds: float = 30.0) -> bool:
        """Wait until nothing runs in the background; False when that took longer than the (real) timeout."""
        with self._changed:
            return self._changed.wait_for(lambda: self._running == 0, timeout_seconds)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._timers.clear()
            self._changed.notify_all()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _work(self, action: Action) -> None:
        self._guard(action)
        with self._changed:
            self._running -= 1
            self._changed.notify_all()

    def _guard(self, action: Action) -> None:
        try:
            action()
        except Exception:
            logger.exception("a timer of the simulator failed")

    def _pop(self, until: float) -> tuple[float, Action] | None:
        with self._changed:
            if self._timers and self._timers[0][0] <= until:
                when, _, action = heapq.heappop(self._timers)
                return when, action
            return None

    def _watch(self) -> None:
        """Hand timers of a running clock to the pool when they fall due."""
        while True:
            with self._changed:
                if self._closed:
                    return
                if self._speed == 0 or not self._timers:
                    self._changed.wait()
                    continue
                wait = (self._timers[0][0] - self.now()) / self._speed
                if wait > 0:
                    self._changed.wait(wait)
                    continue
            due = self._pop(self.now())
            if due is not None:
                self.soon(due[1])
