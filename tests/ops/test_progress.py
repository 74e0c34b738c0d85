"""The progress of a backfill, and the estimate of its end."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ops.progress import progress
from shared.jobs.checkpoints import Checkpoint

NOON = datetime(2026, 3, 10, 12, tzinfo=timezone.utc)


def under_way(**state: Any) -> Checkpoint:
    begun = {"began": NOON, "changed": NOON, "windows": [{}], "all_windows": 1, "done": 0, "total": None}
    return Checkpoint(backfill={**begun, **state})


def test_without_a_running_backfill_there_is_no_progress() -> None:
    assert progress("patients", Checkpoint(), NOON) is None


def test_the_share_of_a_list_is_that_of_its_records() -> None:
    found = progress("patients", under_way(done=250, total=1000), NOON + timedelta(minutes=10))
    assert found is not None
    assert (found.share, found.left) == (0.25, timedelta(minutes=30))


def test_the_share_of_date_windows_is_that_of_the_completed_ones() -> None:
    found = progress("appointments", under_way(windows=[{}] * 9, all_windows=36), NOON + timedelta(hours=3))
    assert found is not None
    assert (found.share, found.left) == (0.75, timedelta(hours=1))


def test_there_is_no_estimate_at_the_beginning() -> None:
    found = progress("patients", under_way(done=0, total=100_000), NOON + timedelta(seconds=1))
    assert found is not None
    assert (found.share, found.left) == (0.0, None)


def test_the_share_of_a_list_that_grew_does_not_exceed_one() -> None:
    found = progress("patients", under_way(done=110, total=100), NOON + timedelta(seconds=1))
    assert found is not None
    assert found.share == 1.0


@given(done=st.integers(0, 10**6), total=st.integers(1, 10**6), seconds=st.integers(0, 10**7))
def test_the_estimate_is_never_negative(done: int, total: int, seconds: int) -> None:
    found = progress("patients", under_way(done=done, total=total), NOON + timedelta(seconds=seconds))
    assert found is not None
    assert 0 <= found.share <= 1
    assert found.left is None or found.left >= timedelta(0)
