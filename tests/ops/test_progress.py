"""The progress of a backfill, and the estimate of its end."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ops.progress import progress
from shared.jobs.checkpoint import Checkpoint

NOON = datetime(2026, 3, 10, 12, tzinfo=timezone.utc)


def under_way(**state: Any) -> Checkpoint:
    begun = {"began": NOON, "changed": NOON, "windows": [{}], "all_windows": 1, "done": 0, "total": None}
    return Checkpoint(backfill={**begun, **state})


def test_without_a_running_backfill_there_is_no_progress() -> None:
    assert progress("patients", Checkpoint()) is None


def test_the_share_of_a_list_is_that_of_its_records() -> None:
    found = progress("patients", under_way(done=250, total=1000))
    assert found is not None
    assert found.share == 0.25


def test_the_share_of_date_windows_is_that_of_the_completed_ones() -> None:
    found = progress("appointments", under_way(windows=[{}] * 9, all_windows=36))
    assert found is not None
    assert found.share == 0.75


def test_the_share_of_a_list_that_grew_does_not_exceed_one() -> None:
    found = progress("patients", under_way(done=110, total=100))
    assert found is not None
    assert found.share == 1.0


@given(done=st.integers(0, 10**6), total=st.integers(1, 10**6))
def test_the_share_is_one(done: int, total: int) -> None:
    found = progress("patients", under_way(done=done, total=total))
    assert found is not None
    assert 0 <= found.share <= 1
