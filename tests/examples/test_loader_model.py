"""`examples/bigquery` as the subscriber of the feed's model; `tests.feed.model.warehouse` runs more of it."""

from __future__ import annotations

from pathlib import Path

from tests.feed.model.warehouse import run_one


def test_the_rows_are_the_copys_after_killed_relays_and_loaders_and_a_frozen_broker(tmp_path: Path) -> None:
    done = [run_one(seed, tmp_path / "store.sqlite3") for seed in range(1, 31)]
    assert {schedule.seed: schedule.wrong for schedule in done if schedule.wrong} == {}
    # They had what they are to withstand.
    plans = [schedule.plan for schedule in done]
    assert any(plan.outages for plan in plans)
    assert any(plan.kills and plan.deaths and plan.sweepers > 1 for plan in plans)
    assert any(plan.filling for plan in plans)
    assert any(plan.replays for plan in plans)
    assert sum(schedule.deaths for schedule in done) > len(done)
