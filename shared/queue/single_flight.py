"""Single flight: within one instance, one thread at a time fetches a target. Waiting events share the fetch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from shared.queue.entries import Target


@dataclass
class Flight:
    """The events of one target. latest: when the newest of them was received."""

    latest: datetime
    waiting: int = 0
    turn: threading.Lock = field(default_factory=threading.Lock)


class SingleFlight:
    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._flights: dict[Target, Flight] = {}

    @contextmanager
    def turn(self, target: Target, received_at: datetime) -> Iterator[Flight]:
        """Wait until no other thread works on `target`, then hold it. Yields the flight of its waiting events."""
        with self._guard:
            flight = self._flights.setdefault(target, Flight(received_at))
            flight.latest = max(flight.latest, received_at)
            flight.waiting += 1
        try:
            with flight.turn:
                yield flight
        finally:
            with self._guard:
                flight.waiting -= 1
                if not flight.waiting:
                    del self._flights[target]
