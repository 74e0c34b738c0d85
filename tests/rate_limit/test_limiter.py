"""One quota for all instances, on both stores: shares, waits, reservations, cooldowns, and a store that fails."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from shared.documents import Documents
from shared.errors import QuotaExhausted, StoreUnavailable
from shared.rate_limit.document import QUOTA
from shared.rate_limit.ledger import Lane
from shared.rate_limit.limiter import LONGEST_WAIT_SECONDS, RateLimiter
from shared.rate_limit.windows import IN_FLIGHT_SECONDS, parse_windows
from tests.rate_limit.instances import NOON, Clock, Watched, limiter, take


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def documents(documents: Documents, clock: Clock) -> Documents:
    """Both stores, with the test's clock as the store's time."""
    return Watched(documents, now=clock.now)


@pytest.fixture
def embedded(embedded: Documents, clock: Clock) -> Documents:
    return Watched(embedded, now=clock.now)


def test_the_limit_is_kept_by_all_instances_together(documents: Documents, clock: Clock) -> None:
    first, second = limiter(documents, clock, "a"), limiter(documents, clock, "b")
    assert take(first, Lane.LIVE, 60) == 60
    assert take(second, Lane.LIVE) + take(first, Lane.LIVE) == 40


def test_background_leaves_a_fifth_to_live_events(documents: Documents, clock: Clock) -> None:
    one = limiter(documents, clock)
    one.acquire(Lane.LIVE)
    assert take(one, Lane.BACKGROUND) == 79
    assert take(one, Lane.LIVE) == 20


@pytest.mark.parametrize("quota", ["100/minute", "500/hour", "100/minute burst 10"])
def test_a_flood_of_live_requests_leaves_background_work_half_of_its_share(
    embedded: Documents, clock: Clock, quota: str
) -> None:
    (window,) = parse_windows(quota)
    used = used_beside_a_flood(embedded, clock, quota, first_hour=1, hours=4)
    # Half of 80 %, of each window in which it asked.
    asked_in = 3 * (12 if window.seconds == 60 else 1)
    assert used >= asked_in * window.limit * 0.4 * (0.5 if window.burst else 0.9)


@pytest.mark.emulator
def test_a_flood_in_firestore_leaves_background_work_half_of_its_share(
    firestore_documents: Documents, clock: Clock
) -> None:
    watched = Watched(firestore_documents, now=clock.now)
    used = used_beside_a_flood(watched, clock, "100/minute", first_hour=0.25, hours=0.5)
    assert used >= 3 * 100 * 0.4 * 0.9


def used_beside_a_flood(documents: Documents, clock: Clock, quota: str, *, first_hour: float, hours: float) -> int:
    """The flood takes whatever it gets, at every step. Background work asks during one minute of five."""
    flood, job = limiter(documents, clock, "flood", quota), limiter(documents, clock, "job", quota)
    used = 0
    while clock.seconds < hours * 3600:
        take(flood, Lane.LIVE)
        if clock.seconds >= first_hour * 3600 and clock.seconds % 300 < 60:
            used += take(job, Lane.BACKGROUND)
        clock.seconds += 5
    return used


def test_background_uses_the_reserve_while_no_live_events_come(documents: Documents, clock: Clock) -> None:
    one = limiter(documents, clock)
    used = 0
    for _ in range(61):
        used += take(one, Lane.BACKGROUND)
        clock.seconds += 1
    assert used == 99
    one.acquire(Lane.LIVE, wait_seconds=0)  # one request in a hundred is kept for the first live event


def test_a_live_event_waits_seconds_after_background_used_everything(documents: Documents, clock: Clock) -> None:
    background, live = limiter(documents, clock, "a"), limiter(documents, clock, "b")
    for _ in range(600):
        take(background, Lane.BACKGROUND)
        clock.seconds += 0.5
    began = clock.seconds
    for _ in range(3):
        live.acquire(Lane.LIVE, wait_seconds=10)
        take(background, Lane.BACKGROUND)
    assert clock.seconds - began < 10


def test_a_refusal_states_when_the_next_request_is_free(documents: Documents, clock: Clock) -> None:
    one = limiter(documents, clock)
    take(one, Lane.LIVE)
    clock.seconds = 20
    with pytest.raises(QuotaExhausted) as refused:
        one.acquire(Lane.LIVE)
    assert clock.seconds == 20
    until = (refused.value.until - NOON).total_seconds()
    assert 60 + IN_FLIGHT_SECONDS <= until <= 62.5
    clock.seconds = until
    one.acquire(Lane.LIVE, wait_seconds=0)


def test_acquire_waits_seconds_but_not_longer(documents: Documents, clock: Clock) -> None:
    one = limiter(documents, clock, quota="5/second")
    take(one, Lane.LIVE)
    one.acquire(Lane.LIVE)
    assert 1.0 <= clock.seconds <= LONGEST_WAIT_SECONDS


def test_an_idle_system_writes_nothing(documents: Documents, clock: Clock) -> None:
    counted = Watched(documents)
    one = limiter(counted, clock)
    one.acquire(Lane.LIVE)
    assert counted.transactions == 1
    before = documents.get(QUOTA)
    clock.seconds += 7200
    one.state()
    assert documents.get(QUOTA) == before


def test_a_busy_instance_writes_about_once_a_second(documents: Documents, clock: Clock) -> None:
    counted = Watched(documents)
    one = limiter(counted, clock, quota="3000/minute")
    for _ in range(400):
        one.acquire(Lane.BACKGROUND)
        clock.seconds += 0.05
    assert counted.transactions <= 20 + 6  # one a second, and a few while the batches grow


def test_reserved_requests_that_are_not_needed_are_returned(documents: Documents, clock: Clock) -> None:
    one = limiter(documents, clock)
    take(one, Lane.LIVE, 35)  # batches double, so some of the last one are left
    assert one.state().windows[0].used == 63
    clock.seconds += 1.9
    one.acquire(Lane.BACKGROUND)
    assert one.state().windows[0].used == 35 + 1 + 5  # 4 of the last reservation were sent: that pace needs 5


def test_requests_reserved_by_a_dead_instance_count_as_sent_and_become_free_in_time(
    documents: Documents, clock: Clock
) -> None:
    dead, other = limiter(documents, clock, "a"), limiter(documents, clock, "b")
    take(dead, Lane.LIVE, 35)
    reserved = other.state().windows[0].used - 35
    assert reserved > 0
    assert take(other, Lane.LIVE) == 100 - 35 - reserved
    clock.seconds = 60 + IN_FLIGHT_SECONDS + 5 + 1
    assert take(other, Lane.LIVE) == 100


def test_reserved_requests_are_not_sent_after_the_reservation_ended(documents: Documents, clock: Clock) -> None:
    counted = Watched(documents)
    one = limiter(counted, clock)
    take(one, Lane.LIVE, 20)
    clock.seconds += 30
    before = counted.transactions
    one.acquire(Lane.LIVE)
    assert counted.transactions == before + 1


@pytest.mark.parametrize("skew", [-3600.0, -4.9, -2.0, 2.0, 4.9, 3600.0])
def test_a_clock_that_is_ahead_or_behind_frees_no_request_too_early(
    documents: Documents, clock: Clock, skew: float
) -> None:
    first = limiter(documents, clock, "a")
    other = RateLimiter(
        documents,
        parse_windows("100/minute"),
        background_share=0.8,
        now=clock.skewed(skew),
        sleep=clock.sleep,
        instance="b",
    )
    assert take(first, Lane.LIVE) == 100
    clock.seconds = 60.9
    assert take(other, Lane.LIVE) == 0
    clock.seconds = 80
    assert take(other, Lane.LIVE) == 100
    clock.seconds = 80 + 60.9
    assert take(first, Lane.LIVE) == 0


def test_a_cooldown_stops_every_instance_within_a_second(documents: Documents, clock: Clock) -> None:
    first, second = limiter(documents, clock, "a"), limiter(documents, clock, "b")
    take(first, Lane.LIVE, 33)
    take(second, Lane.LIVE, 33)
    assert second.state().reserved > 0
    first.throttled(clock.now() + timedelta(minutes=45))
    assert take(first, Lane.LIVE) == 0
    clock.seconds += 0.8
    with pytest.raises(QuotaExhausted) as refused:
        second.acquire(Lane.LIVE)
    assert refused.value.until == clock.now() + timedelta(minutes=45, seconds=-0.8)
    assert second.state().cooldown_until == refused.value.until


def test_after_a_cooldown_one_request_probes_and_then_the_others_follow(documents: Documents, clock: Clock) -> None:
    first, second = limiter(documents, clock, "a"), limiter(documents, clock, "b")
    first.throttled(clock.now() + timedelta(seconds=90))
    clock.seconds = 90
    assert take(second, Lane.BACKGROUND) + take(first, Lane.LIVE) + take(second, Lane.LIVE) == 1
    clock.seconds = 92.5
    assert take(first, Lane.LIVE, 50) == 50


def test_a_refused_probe_starts_another_cooldown(documents: Documents, clock: Clock) -> None:
    first, second = limiter(documents, clock, "a"), limiter(documents, clock, "b")
    first.throttled(clock.now() + timedelta(seconds=90))
    clock.seconds = 90
    assert take(first, Lane.LIVE) == 1
    first.throttled(clock.now() + timedelta(seconds=60))
    clock.seconds = 149
    assert take(first, Lane.LIVE) + take(second, Lane.LIVE) == 0
    clock.seconds = 150
    assert take(second, Lane.LIVE) + take(first, Lane.LIVE) == 1


def test_many_429s_at_once_are_one_cooldown(documents: Documents, clock: Clock) -> None:
    counted = Watched(documents)
    one = limiter(counted, clock)
    for late in range(20):
        one.throttled(NOON + timedelta(seconds=30, milliseconds=late))
    assert counted.transactions == 1


def test_a_failing_store_permits_no_request(documents: Documents, clock: Clock) -> None:
    flaky = Watched(documents)
    one = limiter(flaky, clock)
    flaky.broken = "before"
    with pytest.raises(StoreUnavailable):
        one.acquire(Lane.LIVE)


def test_reserved_requests_are_not_sent_when_the_reservation_cannot_be_checked(
    documents: Documents, clock: Clock
) -> None:
    flaky = Watched(documents)
    one = limiter(flaky, clock)
    take(one, Lane.LIVE, 33)
    flaky.broken = "before"
    clock.seconds += 0.8
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            one.acquire(Lane.LIVE)


def test_a_commit_whose_response_was_lost_neither_costs_nor_frees_requests(documents: Documents, clock: Clock) -> None:
    flaky = Watched(documents)
    one = limiter(flaky, clock)
    used = take(one, Lane.LIVE, 31)
    flaky.broken = "after"
    with pytest.raises(StoreUnavailable):
        one.acquire(Lane.LIVE, wait_seconds=0)
    flaky.broken = ""
    assert used + take(one, Lane.LIVE) == 100


def test_an_instance_that_cannot_store_a_cooldown_stops_and_stores_it_later(documents: Documents, clock: Clock) -> None:
    flaky = Watched(documents)
    first, second = limiter(flaky, clock, "a"), limiter(documents, clock, "b")
    flaky.broken = "before"
    first.throttled(clock.now() + timedelta(seconds=60))
    with pytest.raises(StoreUnavailable):
        first.acquire(Lane.LIVE)
    flaky.broken = ""
    with pytest.raises(QuotaExhausted):
        first.acquire(Lane.LIVE)
    assert take(second, Lane.LIVE) == 0


def test_the_state_shows_what_is_used(documents: Documents, clock: Clock) -> None:
    one = limiter(documents, clock, quota="10/second,500/hour")
    assert [(window.limit, window.used) for window in one.state().windows] == [(10, 0), (500, 0)]
    one.acquire(Lane.LIVE)
    state = one.state()
    assert [(window.limit, window.used) for window in state.windows] == [(10, 1), (500, 1)]
    assert (state.live_at, state.cooldown_until, state.holders, state.reserved) == (NOON, None, 1, 1)


def test_the_quota_is_logged_once_a_minute_and_a_cooldown_when_it_starts(
    embedded: Documents, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    one = limiter(embedded, clock)
    for _ in range(20):
        one.acquire(Lane.LIVE)
        clock.seconds += 5
    one.throttled(clock.now() + timedelta(seconds=30))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["message"] for line in lines] == ["quota.state", "quota.state", "quota.cooldown"]
    assert (lines[0]["quota_left"], lines[0]["share"]) == (99, 0.01)
    assert lines[2]["seconds"] == 30
