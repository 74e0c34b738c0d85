"""Rate limit windows, and the responses to throttled requests."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

import pytest

from simulator.quota import Quota, Window, parse_quota

from .conftest import Caller

Simulate = Callable[..., Caller]
LATE_IN_THE_MINUTE = datetime(2026, 3, 10, 15, 0, 50, tzinfo=timezone.utc)


def test_windows_are_parsed_from_text() -> None:
    assert parse_quota("100/minute") == (Window(limit=100, seconds=60),)
    assert parse_quota("10/second, 500/hour", "bucket", 20) == (
        Window(limit=10, seconds=1, kind="bucket", burst=20),
        Window(limit=500, seconds=3600, kind="bucket", burst=20),
    )
    assert parse_quota("5/10s") == (Window(limit=5, seconds=10),)
    assert parse_quota("") == ()


@pytest.mark.parametrize("text", ["100", "100/month", "0/minute", "minute/100", "-1/second"])
def test_an_invalid_quota_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="not a quota"):
        parse_quota(text)


def test_a_fixed_window_resets_at_the_top_of_the_minute() -> None:
    quota = Quota(parse_quota("2/minute"))
    assert [quota.admit(now) for now in (50.0, 58.0, 59.0, 60.0, 60.0, 61.0)] == [0, 0, 1.0, 0, 0, 59.0]


def test_a_sliding_window_counts_the_last_seconds() -> None:
    quota = Quota(parse_quota("2/minute", "sliding"))
    assert [quota.admit(now) for now in (50.0, 58.0, 60.0, 110.0, 110.0)] == [0, 0, 50.0, 0, 8.0]


def test_a_bucket_allows_a_burst_and_then_the_steady_rate() -> None:
    quota = Quota(parse_quota("60/minute", "bucket", 3))
    assert [quota.admit(0.0) for _ in range(4)] == [0, 0, 0, 1.0]
    assert [quota.admit(2.0) for _ in range(3)] == [0, 0, 1.0]


def test_the_strictest_window_decides() -> None:
    quota = Quota(parse_quota("2/second,3/minute"))
    assert [quota.admit(now) for now in (0.0, 0.5, 0.5, 1.0, 2.0)] == [0, 0, 0.5, 0, 58.0]


def test_a_refused_request_counts_only_if_configured() -> None:
    for counts, then in ((False, 0.0), (True, 60.0)):
        quota = Quota(parse_quota("1/minute", "sliding"), throttled_counts=counts)
        assert quota.admit(0.0) == 0
        assert quota.admit(30.0) == 30.0
        assert quota.admit(60.0) == (0.0 if then == 0 else 30.0)


def test_the_guide_has_retry_after_and_the_live_form_only_a_text(simulate: Simulate) -> None:
    for form, retry_after in (("guide", "10"), ("live", None)):
        caller = simulate(form=form, quota="2/minute", start=LATE_IN_THE_MINUTE)
        statuses = [caller.get("/api/doctors").status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        throttled = caller.get("/api/doctors")
        assert throttled.json() == {"detail": "Request was throttled. Expected available in 10.0 seconds."}
        assert throttled.headers.get("Retry-After") == retry_after
        caller.simulator.clock.advance(10)
        assert caller.get("/api/doctors").status_code == 200
        assert caller.simulator.stats()["throttled"] == 2


def test_retry_after_can_be_a_date(simulate: Simulate) -> None:
    caller = simulate(quota="1/minute", retry_after="date", start=LATE_IN_THE_MINUTE)
    caller.get("/api/doctors")
    assert caller.get("/api/doctors").headers["Retry-After"] == "Tue, 10 Mar 2026 15:01:00 GMT"


def test_only_the_api_is_limited(simulate: Simulate) -> None:
    caller = simulate(quota="1/hour")
    caller.get("/o/authorize/")
    caller.control("GET", "health")
    assert caller.get("/api/doctors").status_code == 200
    assert caller.get("/api/doctors").status_code == 429


def test_windows_can_be_changed_at_run_time(simulate: Simulate) -> None:
    caller = simulate(quota="1/hour")
    caller.control("POST", "quota", windows=[{"limit": 2, "seconds": 60, "kind": "sliding"}])
    assert [caller.get("/api/doctors").status_code for _ in range(3)] == [200, 200, 429]
    caller.control("POST", "quota", windows="")
    assert caller.get("/api/doctors").status_code == 200
