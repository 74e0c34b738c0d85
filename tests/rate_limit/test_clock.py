"""What instances with different clocks may conclude from one document."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.rate_limit.clock import (
    ALONE_SECONDS,
    MOST_SKEW_SECONDS,
    Reckoning,
    Stamp,
    after_reading,
    after_writing,
    founded,
)


def test_the_founder_is_sure_and_a_newcomer_is_not() -> None:
    founder = founded(1, clock=1000.0)
    assert not founder.unsure
    newcomer = after_reading(None, founder.stamp(1, 1000.0), clock=1000.0)
    assert (newcomer.earliest, newcomer.latest) == (0.0, MOST_SKEW_SECONDS)
    assert newcomer.unsure


def test_reading_and_being_overwritten_narrow_the_bounds_to_the_true_difference() -> None:
    """The newcomer's clock is 3 s behind; it reads 0.2 s after a write, and is overwritten 0.1 s after its own."""
    founder = founded(1, clock=1000.0)
    newcomer = after_reading(None, founder.stamp(1, 1000.0), clock=997.2)
    assert newcomer.earliest == pytest.approx(2.8)
    newcomer = after_writing(newcomer, 2, clock=997.3)
    newcomer = after_reading(newcomer, founder.stamp(3, 1000.4), clock=998.0)
    assert newcomer.latest == pytest.approx(3.1)


def test_a_clock_that_was_set_is_found_out() -> None:
    known = Reckoning(founded=1, earliest=-0.1, latest=0.1, written_version=5, written_at=1000.0)
    after = after_reading(known, Stamp(version=6, founded=1, earliest=1100.0, latest=1100.1), clock=1001.0)
    assert (after.earliest, after.latest) == (99.0, 99.0 + 2 * MOST_SKEW_SECONDS)


def test_who_writes_alone_for_long_is_told_so() -> None:
    known = after_writing(after_reading(None, Stamp(7, 1, 1000.0, 1000.0), clock=1000.0), 8, clock=1000.0)
    known = after_writing(after_reading(known, known.stamp(8, 1000.0), clock=1059.0), 9, clock=1059.0)
    assert known.alone_for(1060.0) == ALONE_SECONDS
    met = after_reading(known, Stamp(10, 1, 1060.0, 1060.0), clock=1060.0)
    assert met.alone_for(1061.0) == 0.0


steps = st.lists(st.tuples(st.integers(0, 3), st.floats(0, 30), st.booleans()), max_size=60)
half = MOST_SKEW_SECONDS / 2


@given(steps, st.lists(st.floats(-half, half), min_size=4, max_size=4))
def test_document_time_is_always_between_the_bounds(steps: list[tuple[int, float, bool]], skews: list[float]) -> None:
    """Instance 0 founds; from then on each reads, and writes or not, in any order and at any distance."""
    true = 1000.0
    founder = founded(1, true + skews[0])
    known: list[Reckoning | None] = [founder, None, None, None]
    stamp = founder.stamp(1, true + skews[0])
    for who, later, writes in steps:
        true += later
        clock = true + skews[who]
        mine = after_reading(known[who], stamp, clock)
        assert mine.earliest - 0.001 <= skews[0] - skews[who] <= mine.latest + 0.001
        if writes:
            mine = after_writing(mine, stamp.version + 1, clock)
            stamp = mine.stamp(stamp.version + 1, clock)
        known[who] = mine
