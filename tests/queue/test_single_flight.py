"""One thread at a time works on a target, and knows the newest of the events that wait for it."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone
from typing import Any, cast

import pytest

from shared.queue.entries import Target
from shared.queue.single_flight import SingleFlight

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
SECOND = timedelta(seconds=1)
TARGET = Target("patients", "1")


class Announced:
    """A lock that says when a thread is about to wait for it."""

    def __init__(self, lock: threading.Lock) -> None:
        self.lock, self.reached = lock, threading.Event()

    def __enter__(self) -> None:
        self.reached.set()
        self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.lock.release()


@pytest.mark.parametrize(("second", "latest"), [(NOON + SECOND, NOON + SECOND), (NOON - SECOND, NOON)])
def test_an_event_waits_for_the_turn_of_its_target_and_the_one_at_work_learns_of_it(
    second: datetime, latest: datetime
) -> None:
    flights = SingleFlight()
    order: list[str] = []

    def next_one() -> None:
        with flights.turn(TARGET, second):
            order.append("second")

    waiting = threading.Thread(target=next_one)
    with flights.turn(TARGET, NOON) as flight, flights.turn(Target("patients", "2"), NOON):
        announced = Announced(flight.turn)
        flight.turn = cast(Any, announced)
        waiting.start()
        assert announced.reached.wait(60)
        assert flight.latest == latest
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]


def test_what_ended_is_forgotten_even_if_it_failed() -> None:
    flights = SingleFlight()
    with pytest.raises(ZeroDivisionError), flights.turn(TARGET, NOON):
        raise ZeroDivisionError
    with flights.turn(TARGET, NOON - SECOND) as flight:
        assert flight.latest == NOON - SECOND
