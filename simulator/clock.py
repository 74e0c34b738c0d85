"""The simulator's clock and its timers.

A virtual clock runs at speed 0 and moves only by `advance`, which runs all due timers in order and in the caller's
thread. A test of a seven-hour redelivery therefore neither sleeps nor races.
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
_WORKERS = 8  # enough for a slow webhook receiver, few enough for a small machine


class Clock:
    """Seconds since 1970 (UTC), with timers. `speed` is simulator seconds per real second; 0 means virtual."""

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
        """Move forward by `seconds`, run the timers that fall due, and return the new time.

        Raises ValueError if `seconds` is negative.
        """
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
        """Run `action` when the clock reaches `when`, or in the background at once if it already has."""
        if when <= self.now():
            return self.soon(action)
        with self._changed:
            heapq.heappush(self._timers, (when, next(self._count), action))
            self._changed.notify_all()
        return None

    def soon(self, action: Action) -> None:
        """Run `action` in the background now."""
        with self._changed:
            if self._closed:
                return
            self._running += 1
        self._pool.submit(self._work, action)

    def settle(self, timeout_seconds: float = 30.0) -> bool:
        """Wait until no background action is running. Return False if the timeout (real seconds) expires first."""
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
        """Submit the due timers of a running clock to the thread pool."""
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
