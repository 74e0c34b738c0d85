"""What the benchmark of the feed decides: whether a version is missing or out of order."""

from __future__ import annotations

import pytest

from benchmarks.feed import Told
from benchmarks.feed_costs import OFF, Spent, Way, extra
from benchmarks.practice_costs import Cost
from shared.documents import Documents


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        ([1, 2, 3], False),
        ([1, 2, 2, 3], False),
        ([1, 2], True),
        ([1, 3], True),
        ([2, 1, 3], True),
        ([1, 2, 3, 2], True),
    ],
)
def test_a_version_that_is_missing_or_overtaken_is_a_fault(embedded: Documents, told: list[int], wrong: bool) -> None:
    embedded.transact(lambda transaction: transaction.set("patients/1", {"_sync": {"version": 3}}))
    heard = Told(lambda messages: set())
    heard.versions["1"] += told
    assert bool(heard.faults(embedded)) is wrong


def test_what_the_feed_adds_is_the_difference_to_the_same_run_without_it() -> None:
    feed = Way(feed=True, history=False)
    by_way = {
        OFF: Spent({"a change": Cost(reads=1, writes=1)}),
        feed: Spent({"a change": Cost(reads=2, writes=2, deletes=1)}),
    }
    assert extra(by_way, feed, "a change") == Cost(reads=1, writes=1, deletes=1)
