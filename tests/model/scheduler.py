"""A scheduler of threads on a virtual clock: one runs at a time, and which one a seed decides.

A thread gives way where it waits: for an answer, for the store, for its own pause. So every interleaving of those is
possible, and the same seed gives the same one again.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from types import TracebackType


class Thread:
    """One that waits for its turn."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.turn.acquire()
        self.number = 0


class Scheduler:
    """now: seconds on the true clock."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.current = Thread()
        self._heap: list[tuple[float, int, Thread | Callable[[], object]]] = []
        self._numbers = itertools.count()
        self._idle: list[_Worker] = []
        self._ended = False

    def at(self, instant: float, work: Callable[[], object]) -> None:
        """Run `work` in a thread of its own from then on. It must not raise."""
        self._push(instant, work)

    def wait(self, seconds: float) -> None:
        """Of the thread that runs: let others run until then."""
        until = self.now + max(seconds, 0.0)
        if not self._heap or until < self._heap[0][0]:
            self.now = until
            return
        me = self.current
        self._push(until, me)
        self._switch(me)

    def park(self) -> Thread:
        """Of the thread that runs: wait until `wake`."""
        me = self.current
        self._switch(me)
        return me

    def wake(self, thread: Thread) -> None:
        self._push(self.now, thread)

    def close(self) -> None:
        """End the idle threads."""
        self._ended = True
        for worker in self._idle:
            worker.turn.release()

    def _push(self, instant: float, what: Thread | Callable[[], object]) -> None:
        heapq.heappush(self._heap, (instant, next(self._numbers), what))

    def _switch(self, me: Thread | None) -> None:
        """Give the turn to the next one, and come back when it is the turn of `me`; at once for None."""
        instant, _, what = heapq.heappop(self._heap)
        self.now = max(self.now, instant)
        if isinstance(what, Thread):
            self.current = what
        else:
            worker = self._idle.pop() if self._idle else _Worker(self)
            worker.work, worker.number = what, next(self._numbers)
            self.current = worker
        if self.current is me:
            return
        self.current.turn.release()
        if me is not None:
            me.turn.acquire()

    def done(self, worker: _Worker) -> None:
        self._idle.append(worker)
        self._switch(None)


class _Worker(Thread):
    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__()
        self.work: Callable[[], object] = lambda: None
        self._scheduler = scheduler
        threading.Thread(target=self._loop, args=(scheduler,), daemon=True).start()

    def _loop(self, scheduler: Scheduler) -> None:
        while True:
            self.turn.acquire()
            if scheduler._ended:
                return
            self.work()
            scheduler.done(self)


class Turn:
    """A lock whose waiters let the others run."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._held = False
        self._waiting: list[Thread] = []

    def __enter__(self) -> None:
        while self._held:
            self._waiting.append(self._scheduler.current)
            self._scheduler.park()
        self._held = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._held = False
        if self._waiting:
            self._scheduler.wake(self._waiting.pop(0))
