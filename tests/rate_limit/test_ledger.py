"""Windows, the ledger and capacity, without clocks or stores."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.rate_limit.capacity import ROUNDING_SECONDS, available, free_at, with_reservation
from shared.rate_limit.ledger import (
    Cooldown,
    Lane,
    Ledger,
    Reservation,
    pruned,
    settled,
    used,
    with_cooldown,
    with_sent,
)
from shared.rate_limit.reservations import demand
from shared.rate_limit.windows import Window, parse_windows

MINUTE = Window(limit=100, seconds=60)
NOW = 1_700_000_000.0


def available_at(ledger: Ledger, lane: Lane, seconds: float, *windows: Window, share: float = 0.8) -> int:
    return available(ledger, windows or (MINUTE,), lane, NOW + seconds, share)


def test_windows_are_parsed_shortest_first() -> None:
    assert parse_windows("500/hour, 10/second") == (Window(10, 1), Window(500, 3600))
    assert parse_windows("100/minute") == (MINUTE,)
    assert parse_windows("10/second, 100/minute burst 10") == (Window(10, 1), Window(100, 60, 10))
    assert parse_windows("100/minute burst 100") == (MINUTE,)


@pytest.mark.parametrize(
    "written", ["", "100", "0/minute", "-1/minute", "100/week", "1/minute,2/minute", "٣/minute", "9/minute burst 0"]
)
def test_other_text_is_rejected(written: str) -> None:
    with pytest.raises(ValueError, match=r"numbers per second|same unit"):
        parse_windows(written)


def test_a_request_counts_for_the_window_and_the_time_it_may_be_in_flight() -> None:
    ledger = with_sent(Ledger(), [MINUTE], [NOW])
    assert used(ledger, MINUTE, NOW + 60.9) == 1
    assert used(ledger, MINUTE, NOW + 61.51) == 0


def test_live_uses_the_whole_window_and_background_leaves_a_fifth_while_live_events_come() -> None:
    ledger = Ledger(live_at=NOW - 5)
    assert available_at(ledger, Lane.LIVE, 0) == 100
    assert available_at(ledger, Lane.BACKGROUND, 0) == 80
    ledger = with_sent(ledger, [MINUTE], [NOW] * 80)
    assert available_at(ledger, Lane.LIVE, 1) == 20
    assert available_at(ledger, Lane.BACKGROUND, 1) == 0


def test_live_leaves_half_of_its_share_to_background_work_that_was_refused_lately() -> None:
    ledger = with_sent(Ledger(live_at=NOW, refused_at=NOW - 600), [MINUTE], [NOW] * 50, [NOW] * 50)
    assert available_at(ledger, Lane.LIVE, 0) == 10
    assert available_at(ledger, Lane.BACKGROUND, 0) == 40
    assert available_at(replace(ledger, refused_at=NOW - 900), Lane.LIVE, 0) == 50
    reserved = replace(ledger, reservations={"a": Reservation(1, requests=9, until=NOW + 2, live=8)})
    assert available_at(reserved, Lane.LIVE, 0) == 2
    # What background work sent is not taken off what live requests may use.
    sent = with_sent(Ledger(refused_at=NOW), [MINUTE], [NOW] * 50)
    assert available_at(sent, Lane.LIVE, 0) == 50


def test_background_borrows_from_the_reserve_as_a_trickle_after_a_window_without_live_events() -> None:
    ledger = with_sent(Ledger(live_at=NOW - 60), [MINUTE], [NOW] * 80)
    asked = {Lane.BACKGROUND: 50}
    ledger, granted = with_reservation(
        ledger, [MINUTE], asked, instance="a", number=1, until=NOW + 1, now=NOW, share=0.8
    )
    assert granted[Lane.BACKGROUND] == 1
    assert available_at(ledger, Lane.BACKGROUND, 1) == 0
    assert available_at(ledger, Lane.BACKGROUND, 4) == 1


def test_borrowed_requests_do_not_reduce_what_background_may_take_outright() -> None:
    borrowed = {60: {MINUTE.slot(NOW - 3 * n): 1 for n in range(1, 21)}}
    ledger = Ledger(sent=borrowed, borrowed=borrowed)
    assert available_at(ledger, Lane.BACKGROUND, 0) == 79  # one request in a hundred is kept
    live_came = Ledger(sent=borrowed, borrowed=borrowed, live_at=NOW)
    assert available_at(live_came, Lane.BACKGROUND, 0) == 60


def test_one_request_in_a_hundred_is_never_borrowed() -> None:
    ledger = with_sent(Ledger(), [MINUTE], [NOW] * 99)
    assert available_at(ledger, Lane.BACKGROUND, 30) == 0
    assert available_at(ledger, Lane.LIVE, 30) == 1


def test_background_may_use_everything_without_a_reserve() -> None:
    assert available_at(Ledger(live_at=NOW), Lane.BACKGROUND, 0, share=1.0) == 100
    assert available_at(Ledger(live_at=NOW), Lane.BACKGROUND, 0, Window(1, 1)) == 1


def test_every_window_must_have_capacity() -> None:
    second, hour = Window(10, 1), Window(500, 3600)
    ledger = with_sent(Ledger(), [second, hour], [NOW - 100] * 495)
    assert available_at(ledger, Lane.LIVE, 0, second, hour) == 5
    assert available_at(with_sent(ledger, [second, hour], [NOW]), Lane.LIVE, 0, second, hour) == 4


def test_a_settled_reservation_counts_each_request_at_the_time_it_was_sent() -> None:
    ledger = Ledger(reservations={"a": Reservation(number=7, requests=10, until=NOW + 2)})
    assert used(ledger, MINUTE, NOW) == 10
    ledger = settled(ledger, [MINUTE], "a", 7, [NOW, NOW + 0.1])
    assert used(ledger, MINUTE, NOW) == 2
    assert ledger.reservations == {}


def test_a_reservation_whose_commit_response_was_lost_was_not_sent() -> None:
    ledger = Ledger(reservations={"a": Reservation(number=8, requests=10, until=NOW + 2)})
    assert used(settled(ledger, [MINUTE], "a", 7, [NOW]), MINUTE, NOW) == 0


def test_a_reservation_that_is_never_settled_counts_as_sent_at_its_end() -> None:
    ledger = Ledger(reservations={"a": Reservation(number=7, requests=10, until=NOW + 2)})
    assert pruned(ledger, [MINUTE], NOW + 1.9) == Ledger(
        sent={60: {}}, live={60: {}}, borrowed={60: {}}, reservations=ledger.reservations
    )
    expired = pruned(ledger, [MINUTE], NOW + 2)
    assert expired.reservations == {}
    assert used(expired, MINUTE, NOW + 62.9) == 10
    assert used(expired, MINUTE, NOW + 64) == 0
    assert settled(expired, [MINUTE], "a", 7, [NOW]) == expired


def test_a_cooldown_ends_reservations_and_counts_them_as_sent() -> None:
    ledger = with_cooldown(Ledger(reservations={"a": Reservation(7, 10, NOW + 2)}), [MINUTE], NOW + 30)
    assert ledger.reservations == {}
    assert used(ledger, MINUTE, NOW) == 10
    assert available_at(ledger, Lane.LIVE, 29.9) == 0


def test_a_cooldown_can_be_extended_but_not_shortened() -> None:
    ledger = with_cooldown(Ledger(), [MINUTE], NOW + 30)
    assert with_cooldown(ledger, [MINUTE], NOW + 20) == ledger
    assert with_cooldown(ledger, [MINUTE], NOW + 2700).cooldown == Cooldown(NOW + 2700)


def test_after_a_cooldown_one_request_probes_and_then_the_others_follow() -> None:
    ledger = with_cooldown(Ledger(), [MINUTE], NOW)
    asked = {Lane.LIVE: 9, Lane.BACKGROUND: 9}
    ledger, granted = with_reservation(
        ledger, [MINUTE], asked, instance="a", number=1, until=NOW + 1, now=NOW, share=0.8
    )
    assert granted == {Lane.LIVE: 1, Lane.BACKGROUND: 0}
    assert available_at(ledger, Lane.LIVE, 1.9) == 0
    assert pruned(ledger, [MINUTE], NOW + 2).cooldown is None
    assert available_at(ledger, Lane.LIVE, 2) == 99


def test_demand_covers_the_life_of_a_reservation_but_at_most_doubles() -> None:
    assert demand(0, elapsed_seconds=1, life_seconds=3) == 0
    assert demand(1, elapsed_seconds=0.01, life_seconds=3) == 2
    assert demand(40, elapsed_seconds=2, life_seconds=3) == 60
    assert demand(40, elapsed_seconds=60, life_seconds=3) == 2
    assert demand(1, elapsed_seconds=0, life_seconds=3) == 2


windows = st.sampled_from(
    [(MINUTE,), (Window(10, 1), Window(500, 3600)), (Window(3, 1),), (Window(7, 60),), (Window(100, 60, 10),)]
)
ages = st.lists(st.floats(0, 4000) | st.floats(0, 20), max_size=60)  # of the whole windows, and of a bucket


@st.composite
def ledgers(draw: st.DrawFn) -> tuple[Ledger, tuple[Window, ...]]:
    chosen = draw(windows)
    times = [NOW - age for age in draw(ages)]
    ledger = with_sent(Ledger(), chosen, times, times[: draw(st.integers(0, 60))])
    borrowed = with_sent(Ledger(), chosen, times[: draw(st.integers(0, 20))]).sent
    reservations = {
        str(number): Reservation(number, requests, NOW + until, min(live, requests))
        for number, (requests, until, live) in enumerate(
            draw(st.lists(st.tuples(st.integers(1, 5), st.floats(-5, 10), st.integers(0, 5)), max_size=3))
        )
    }
    live_at = draw(st.none() | st.floats(NOW - 4000, NOW))
    refused_at = draw(st.none() | st.floats(NOW - 4000, NOW))
    cooldown = draw(st.none() | st.builds(Cooldown, st.floats(NOW - 10, NOW + 3000), st.booleans()))
    return Ledger(ledger.sent, ledger.live, reservations, borrowed, live_at, refused_at, cooldown), chosen


@given(ledgers(), st.sampled_from(Lane), st.floats(0, 100), st.floats(0, 100))
def test_capacity_never_shrinks_with_time(
    ledger_windows: tuple[Ledger, tuple[Window, ...]], lane: Lane, first: float, more: float
) -> None:
    ledger, chosen = ledger_windows
    assert available_at(ledger, lane, first, *chosen) <= available_at(ledger, lane, first + more, *chosen)


@given(ledgers(), st.sampled_from(Lane))
def test_there_is_capacity_at_the_stated_time_and_none_before(
    ledger_windows: tuple[Ledger, tuple[Window, ...]], lane: Lane
) -> None:
    ledger, chosen = ledger_windows
    moment = free_at(ledger, chosen, lane, NOW, 0.8)
    assert available(ledger, chosen, lane, moment, 0.8) > 0
    if moment > NOW:
        flows = any(window.burst for window in chosen)
        before = moment - 2 * ROUNDING_SECONDS if flows else math.nextafter(moment, 0)
        assert available(ledger, chosen, lane, before, 0.8) == 0


@pytest.mark.parametrize("sent", [10, 11, 25])
def test_an_empty_bucket_has_capacity_when_the_next_request_has_flowed_in(sent: int) -> None:
    bucket = Window(60, 60, 10)
    ledger = with_sent(Ledger(), (bucket,), [NOW] * sent)
    moment = free_at(ledger, (bucket,), Lane.LIVE, NOW, 0.8)
    arrived = bucket.arrived_at(bucket.slot(NOW))
    assert moment == pytest.approx(arrived + (sent - 10) + 1, abs=2 * ROUNDING_SECONDS)


@given(ledgers(), st.sampled_from(Lane))
def test_pruning_does_not_change_capacity(ledger_windows: tuple[Ledger, tuple[Window, ...]], lane: Lane) -> None:
    ledger, chosen = ledger_windows
    assert available(pruned(ledger, chosen, NOW), chosen, lane, NOW, 0.8) == available(ledger, chosen, lane, NOW, 0.8)


@given(ledgers(), st.integers(0, 200), st.integers(0, 200), st.floats(0.1, 1.0))
def test_no_reservation_exceeds_a_limit(
    ledger_windows: tuple[Ledger, tuple[Window, ...]], live: int, background: int, share: float
) -> None:
    ledger, chosen = ledger_windows
    before = [used(ledger, window, NOW) for window in chosen]
    asked = {Lane.LIVE: live, Lane.BACKGROUND: background}
    after, granted = with_reservation(
        ledger, chosen, asked, instance="new", number=99, until=NOW + 3, now=NOW, share=share
    )
    for window, count in zip(chosen, before, strict=True):
        assert used(after, window, NOW) == count + sum(granted.values())
        assert used(after, window, NOW) <= max(window.limit, count)
