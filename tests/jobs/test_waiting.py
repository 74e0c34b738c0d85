"""A run waits for requests until its deadline, and never in vain."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from shared.errors import QuotaExhausted
from shared.jobs.stopping import Stopped
from shared.jobs.waiting import WaitingLimiter
from shared.rate_limit.ledger import Lane

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


class Exhausted:
    """Permits nothing before `free_at`, and says `until`."""

    def __init__(self, free_at: datetime, until: datetime | None = None) -> None:
        self.now, self.free_at, self.until = NOON, free_at, until or free_at
        self.asked = self.renewed = 0

    def acquire(self, lane: Lane) -> None:
        self.asked += 1
        if self.now < self.free_at:
            raise QuotaExhausted(self.until)

    def throttled(self, until: datetime) -> None:
        self.free_at = self.until = until

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def renew(self) -> None:
        self.renewed += 1


def waiting(limiter: Exhausted, deadline: datetime | None) -> WaitingLimiter:
    made = WaitingLimiter(limiter, lambda: limiter.now, limiter.sleep)
    if deadline is not None:
        made.wait_until(deadline, limiter.renew)
    return made


def test_it_waits_until_a_request_is_free_and_renews_the_lease_meanwhile() -> None:
    limiter = Exhausted(NOON + timedelta(minutes=9))
    waiting(limiter, NOON + timedelta(minutes=10)).acquire(Lane.BACKGROUND)
    assert limiter.now == NOON + timedelta(minutes=9)
    assert limiter.renewed >= 9 * 60 / 20


def test_it_asks_again_before_the_stated_time_because_others_return_requests() -> None:
    limiter = Exhausted(NOON + timedelta(seconds=30), until=NOON + timedelta(minutes=9))
    waiting(limiter, NOON + timedelta(minutes=10)).acquire(Lane.BACKGROUND)
    assert limiter.now - NOON < timedelta(seconds=60)


@pytest.mark.parametrize("deadline", [None, NOON + timedelta(minutes=9)])
def test_it_does_not_wait_for_what_comes_after_the_deadline_or_without_one(deadline: datetime | None) -> None:
    limiter = Exhausted(NOON + timedelta(minutes=9))
    with pytest.raises(QuotaExhausted):
        waiting(limiter, deadline).acquire(Lane.BACKGROUND)
    assert limiter.now == NOON


def test_a_cooldown_is_waited_for_as_well() -> None:
    limiter = Exhausted(NOON)
    one = waiting(limiter, NOON + timedelta(minutes=10))
    one.throttled(NOON + timedelta(minutes=2))
    one.acquire(Lane.BACKGROUND)
    assert limiter.now == NOON + timedelta(minutes=2)


def test_a_run_that_another_took_over_stops_waiting() -> None:
    limiter = Exhausted(NOON + timedelta(minutes=9))
    one = WaitingLimiter(limiter, lambda: limiter.now, limiter.sleep)

    def lost() -> None:
        raise Stopped("running")

    one.wait_until(NOON + timedelta(minutes=10), lost)
    with pytest.raises(Stopped):
        one.acquire(Lane.BACKGROUND)
    assert limiter.now == NOON
