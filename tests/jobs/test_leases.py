"""Leases of jobs: a dead run holds up the next for two minutes, a living one keeps its own however long it takes."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta, timezone

import pytest

from shared.documents import Documents
from shared.errors import LeaseLost
from shared.jobs.leases import LEASE, Leases

NOON = datetime(2026, 3, 10, 12, tzinfo=timezone.utc)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def leases(documents: Documents, clock: Clock) -> Leases:
    numbers = itertools.count(1)
    return Leases(documents, clock, lambda: f"run {next(numbers)}")


def test_a_dead_run_holds_up_the_next_until_its_lease_lapses(leases: Leases, clock: Clock) -> None:
    dead = leases.hold("sync")
    dead.__enter__()  # and nothing more is ever heard of it
    clock.now += LEASE - timedelta(seconds=1)
    with pytest.raises(LeaseLost), leases.hold("sync"):
        pass
    clock.now += timedelta(seconds=1)
    with leases.hold("sync"):
        pass


def test_a_living_run_keeps_its_lease_however_long_it_takes(leases: Leases, clock: Clock) -> None:
    with leases.hold("backfill") as lease:
        for _ in range(60):
            clock.now += timedelta(minutes=1)
            lease.renew()
            with pytest.raises(LeaseLost), leases.hold("backfill"):
                pass


def test_a_run_that_was_paused_learns_that_another_took_over_and_leaves_it_alone(leases: Leases, clock: Clock) -> None:
    with leases.hold("sync") as paused:
        paused.report = {"finished": False}
        clock.now += timedelta(hours=1)
        with leases.hold("sync") as other:
            with pytest.raises(LeaseLost):
                paused.renew()
            other.report = {"finished": True}
    last = leases.last("sync")
    assert last is not None
    assert (last["owner"], last["report"]) == (None, {"finished": True})
