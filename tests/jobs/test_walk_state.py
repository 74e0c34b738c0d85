"""The state of a walk: when the list of everything is preceded by the lists of its dates."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from shared.drchrono.kinds import KINDS
from shared.jobs.checkpoint import Checkpoint
from shared.jobs.walk_state import UNDATED, is_shown_before, narrowed, new_state

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
EVERYTHING = date(2009, 1, 1)
DATED = {"first": "2026-01-01", "last": "2026-06-30"}


def failed(kind: str, times: int, **state: object) -> Checkpoint:
    checkpoint = Checkpoint(backfill=new_state(KINDS[kind], EVERYTHING, NOON) | state)
    for _ in range(times):
        checkpoint = checkpoint.failed("backfill", "server_error", NOON)
    return checkpoint


def windows(checkpoint: Checkpoint, kind: str) -> list[Any]:
    state = narrowed(checkpoint, "backfill", KINDS[kind], NOON.date()).backfill
    assert state is not None
    found: list[Any] = state["windows"]
    return found


@pytest.mark.parametrize("times", [0, 1])
def test_one_failure_keeps_the_list_of_everything(times: int) -> None:
    assert windows(failed("appointments", times), "appointments") == [UNDATED]


def test_two_failures_put_the_lists_of_its_dates_before_it() -> None:
    found = windows(failed("appointments", 2, resume={"page": 3}), "appointments")
    assert len(found) > 30
    assert found[-1] == UNDATED
    assert UNDATED not in found[:-1]
    newest, oldest = found[0], found[-2]
    # Appointments are made for months ahead.
    assert newest["last"] > (NOON + timedelta(days=180)).date().isoformat()
    assert oldest["first"] <= EVERYTHING.isoformat()


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
    assert windows(failed("appointments", 5, windows=[]), "appointments") == []


@pytest.mark.parametrize(
    ("window", "all_windows", "shown"),
    [
        (UNDATED, 1, False),
        # The lists of its dates came before it.
        (UNDATED, 2, True),
        (DATED, 2, False),
        # It is read for the second time.
        ({**UNDATED, "readings": 1}, 1, True),
        ({**DATED, "readings": 1}, 2, True),
    ],
)
def test_a_list_shows_stored_records_again_after_those_of_its_dates_and_when_it_is_repeated(
    window: dict[str, Any], all_windows: int, shown: bool
) -> None:
    assert is_shown_before({"windows": [window], "all_windows": all_windows}) is shown
