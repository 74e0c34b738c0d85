"""The state of a walk: when the list of everything is preceded by the lists of its dates."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timezone

import pytest

from shared.drchrono.kinds import KINDS
from shared.jobs.checkpoint import Checkpoint
from shared.jobs.walk_state import UNDATED, narrowed, new_state

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
EVERYTHING = date(2009, 1, 1)


def failed(kind: str, times: int, **state: object) -> Checkpoint:
    checkpoint = Checkpoint(backfill=new_state(KINDS[kind], EVERYTHING, NOON) | state)
    for _ in range(times):
        checkpoint = checkpoint.failed("backfill", "server_error", NOON)
    return checkpoint


def windows(checkpoint: Checkpoint, kind: str) -> list[object]:
    state = narrowed(checkpoint, "backfill", KINDS[kind], NOON.date()).backfill
    assert state is not None
    found: list[object] = state["windows"]
    return found


@pytest.mark.parametrize("times", [0, 1])
def test_one_failure_keeps_the_list_of_everything(times: int) -> None:
    assert windows(failed("appointments", times), "appointments") == [UNDATED]


def test_two_failures_put_the_lists_of_its_dates_before_it() -> None:
    found = windows(failed("appointments", 2, resume={"page": 3}), "appointments")
    assert len(found) > 30
    assert found[-1] == UNDATED
    assert UNDATED not in found[:-1]


def test_it_is_done_once_and_begins_at_the_first_page() -> None:
    once = narrowed(failed("appointments", 2, resume={"page": 3}), "backfill", KINDS["appointments"], NOON.date())
    assert once.backfill is not None
    assert once.backfill["resume"] is None
    left = replace(once, backfill={**once.backfill, "windows": once.backfill["windows"][5:]})
    assert narrowed(left, "backfill", KINDS["appointments"], NOON.date()) == left


def test_a_kind_without_dates_and_a_walk_that_has_ended_stay_as_they_are() -> None:
    assert windows(failed("patients", 5), "patients") == [UNDATED]
    ended = replace(failed("appointments", 5), backfill=None)
    assert narrowed(ended, "backfill", KINDS["appointments"], NOON.date()) == ended
