"""Some hundred schedules of the model; `python -m tests.feed.model` runs as many as one likes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.feed.model.run import run_one


@pytest.mark.parametrize("first", range(1, 121, 20))
def test_nothing_is_lost_or_out_of_order_whatever_dies(tmp_path: Path, first: int) -> None:
    wrong = {seed: run_one(seed, tmp_path / "store.sqlite3").wrong for seed in range(first, first + 20)}
    assert {seed: found for seed, found in wrong.items() if found} == {}
