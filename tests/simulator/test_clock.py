"""The clock, its timers, and the background activity driven by it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from simulator.clock import Clock

from .conftest import Caller

Simulate = Callable[..., Caller]


@pytest.fixture
def virtual() -> Iterator[Clock]:
    clock = Clock(start=1000.0, speed=0.0)
    yield clock
    clock.close()


def test_a_virtual_clock_moves_only_by_advance(virtual: Clock) -> None:
    assert virtual.now() == virtual.now() == 1000.0
    assert virtual.advance(2.5) == virtual.now() == 1002.5


def test_timers_fire_in_order_at_their_times_including_those_set_by_timers(virtual: Clock) -> None:
    seen: list[tuple[str, float]] = []

    def first() -> None:
        seen.append(("first", virtual.now()))
        virtual.at(virtual.now() + 5, lambda: seen.append(("follow-up", virtual.now())))

    virtual.at(1020, lambda: seen.append(("last", virtual.now())))
    virtual.at(1010, first)
    virtual.at(1031, lambda: seen.append(("too late", virtual.now())))
    virtual.advance(30)
    assert seen == [("first", 1010.0), ("follow-up", 1015.0), ("last", 1020.0)]
    assert virtual.now() == 1030.0


def test_a_failing_timer_does_not_stop_the_others(virtual: Clock, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[int] = []
    virtual.at(1001, lambda: seen.append(1 // 0))
    virtual.at(1002, lambda: seen.append(2))
    virtual.advance(5)
    assert seen == [2]
    assert "ZeroDivisionError" in caplog.text


def test_a_clock_cannot_move_backwards(virtual: Clock) -> None:
    with pytest.raises(ValueError, match="does not go back"):
        virtual.advance(-1)
    with pytest.raises(ValueError, match="does not go back"):
        virtual.set_speed(-1)


def test_a_running_clock_fires_its_timers() -> None:
    clock, fired = Clock(start=0.0, speed=10_000.0), threading.Event()
    clock.at(600.0, fired.set)
    assert fired.wait(5)
    assert clock.now() >= 600.0
    clock.close()


def test_a_running_clock_can_be_advanced() -> None:
    clock, fired = Clock(start=0.0), threading.Event()
    clock.at(3600.0, fired.set)
    clock.advance(3600)
    assert fired.wait(5)
    clock.close()


def test_the_clock_is_read_and_advanced_over_http(simulate: Simulate) -> None:
    caller = simulate()
    assert caller.control("GET", "clock") == {"now": "2026-03-10T15:00:00+00:00"}
    assert caller.control("POST", "clock", advance=90) == {"now": "2026-03-10T15:01:30+00:00"}


def test_activity_has_the_configured_rate_and_is_repeatable(simulate: Simulate) -> None:
    runs = []
    for form in ("guide", "live", "guide"):
        caller = simulate(form=form, patients=40, activity=2)
        caller.simulator.clock.advance(300)
        changes = caller.simulator.stats()["changes"]
        assert 400 < changes < 800
        runs.append([caller.simulator.truth(kind) for kind in ("patients", "appointments", "clinical_notes")])
        caller.control("POST", "activity", per_second=0)
        caller.simulator.clock.advance(300)
        assert caller.simulator.stats()["changes"] == changes
    assert runs[0] == runs[2] != runs[1]


def test_activity_creates_edits_locks_and_deletes_records(simulate: Simulate) -> None:
    caller = simulate(patients=40)
    before = caller.control("GET", "truth")
    locked = sum(note["locked"] for note in caller.simulator.truth("clinical_notes").values())
    caller.control("POST", "activity", per_second=5)
    caller.simulator.clock.advance(120)
    after = caller.control("GET", "truth")
    assert after["patients"] > before["patients"]
    assert after["clinical_notes"] > before["clinical_notes"]
    assert sum(note["locked"] for note in caller.simulator.truth("clinical_notes").values()) > locked
    deleted = caller.get("/api/appointments_list?since=2020-01-01&show_archived=true").json()["results"]
    assert any(visit["deleted_flag"] for visit in deleted)
