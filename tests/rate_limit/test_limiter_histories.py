"""The limit holds in any history of several instances, and over hours of traffic."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.documents import Documents
from shared.errors import StoreUnavailable
from shared.rate_limit.ledger import Lane
from shared.rate_limit.windows import Window
from tests.rate_limit.fleet import Fleet
from workstation.embedded_documents import EmbeddedDocuments

skews = st.lists(st.floats(-2.5, 2.5) | st.floats(-3600, 3600), min_size=3, max_size=3)
steps = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.1, 0.9, 2.5, 11.0, 57.0, 61.0, 62.0, 3600.0]) | st.floats(0, 70),
        st.integers(0, 2),
        st.sampled_from([Lane.LIVE, Lane.LIVE, Lane.BACKGROUND]),
        st.integers(1, 60),
        st.sampled_from(["", "", "", "", "kill", "after", "throttled"]),
    ),
    max_size=40,
)


@settings(max_examples=200)
@given(
    st.sampled_from(["20/minute", "7/second,30/minute", "5/second", "40/hour", "60/minute burst 6"]),
    skews,
    steps,
    st.integers(0, 99),
)
def test_no_limiter_refuses_a_request_in_any_history(
    tmp_path_factory: pytest.TempPathFactory,
    quota: str,
    skews: list[float],
    steps: list[tuple[float, int, Lane, int, str]],
    seed: int,
) -> None:
    """Killed instances, lost responses, cooldowns, clocks that differ by up to two hours, a slow store and network."""
    store = EmbeddedDocuments(tmp_path_factory.mktemp("store") / "store.sqlite3")
    fleet = Fleet(store, quota, skews, seed=seed, slow=0.4)
    for later, number, lane, burst, event in steps:
        fleet.clock.sleep(later)
        if event == "kill":
            fleet.kill(number)
        if event == "throttled":
            fleet.instances[number].throttled(fleet.clock.skewed(fleet.skews[number])() + timedelta(seconds=5))
        fleet.store.broken = event if event == "after" else ""
        for _ in range(burst):
            with contextlib.suppress(StoreUnavailable):
                fleet.send(number, lane)
            fleet.clock.sleep(0.01)
    assert fleet.refused() == 0


@pytest.mark.parametrize(
    ("quota", "binding", "hours", "least"),
    [
        ("100/minute", Window(100, 60), 1.0, 0.95),
        ("10/second,500/hour", Window(500, 3600), 8.0, 0.95),
        # Reserved requests are missing from the small bucket until they are sent or returned.
        ("100/minute burst 10", Window(100, 60, 10), 1.0, 0.93),
    ],
)
def test_over_hours_a_backfill_uses_nearly_all_with_few_transactions_and_no_refusal(
    embedded: Documents, quota: str, binding: Window, hours: float, least: float
) -> None:
    fleet = Fleet(embedded, quota, skews=[0.0, 2.0, -2.0, 1.0])
    fleet.saturate(hours * 3600)
    assert fleet.refused() == 0
    assert fleet.used(binding, since=binding.seconds) >= least
    assert fleet.store.transactions <= 2 * hours * 3600


def test_live_events_do_not_wait_for_a_backfill(embedded: Documents) -> None:
    fleet = Fleet(embedded, "100/minute", skews=[0.0, 0.0, 0.0, 0.0])
    waits = fleet.saturate(1200, live_per_second=15 / 60)
    assert fleet.refused() == 0
    assert len(waits) > 200
    assert waits[int(len(waits) * 0.95)] < 2.0


def test_a_live_event_after_a_quiet_hour_does_not_wait_for_a_backfill(embedded: Documents) -> None:
    fleet = Fleet(embedded, "100/minute", skews=[0.0, 0.0, 0.0, 0.0])
    fleet.saturate(600)
    waits = fleet.saturate(600, live_per_second=5 / 60)
    assert fleet.refused() == 0
    assert waits[-1] < 5.0
