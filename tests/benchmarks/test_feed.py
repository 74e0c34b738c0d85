"""What the benchmark of the feed decides: whether a version is missing or out of order."""

from __future__ import annotations

import pytest

from benchmarks.feed_costs import OFF, Variant, VariantCosts, extra
from benchmarks.feed_setups import RecordingPublisher
from benchmarks.practice_costs import Cost
from shared.documents import Documents


@pytest.mark.parametrize(
    ("published", "wrong"),
    [
        ([1, 2, 3], False),
        ([1, 2, 2, 3], False),
        ([1, 2], True),
        ([1, 3], True),
        ([2, 1, 3], True),
        ([1, 2, 3, 2], True),
    ],
)
def test_a_version_that_is_missing_or_overtaken_is_a_fault(
    embedded: Documents, published: list[int], wrong: bool
) -> None:
    embedded.transact(lambda transaction: transaction.set("patients/1", {"_sync": {"version": 3}}))
    publisher = RecordingPublisher(lambda messages: set())
    publisher.versions["1"] += published
    assert bool(publisher.faults(embedded)) is wrong


def test_what_the_feed_adds_is_the_difference_to_the_same_run_without_it() -> None:
    feed = Variant(feed=True, history=False)
    by_variant = {
        OFF: VariantCosts({"a change": Cost(reads=1, writes=1)}),
        feed: VariantCosts({"a change": Cost(reads=2, writes=2, deletes=1)}),
    }
    assert extra(by_variant, feed, "a change") == Cost(reads=1, writes=1, deletes=1)
