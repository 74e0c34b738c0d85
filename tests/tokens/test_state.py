"""The token state's document, its lease and its transitions."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from shared.tokens.state import Lease, Phase, TokenState
from shared.tokens.token import Token, Validity

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)
HOUR = Validity(NOON - 30 * MINUTE, NOON + 30 * MINUTE)
STATE = TokenState(version=7, generation=7, validity=HOUR, scope="patients:read")
TOKEN = Token("a", "r", Validity(NOON, NOON + 60 * MINUTE), "patients:read", generation=8)


def test_a_state_can_be_written_to_its_document_and_read_back() -> None:
    state = dataclasses.replace(STATE, phase=Phase.SENT, attempts=2, retry_at=NOON, reason="x", rejected_at=NOON)
    leased = state.leased("me", NOON, rejected=True)
    assert TokenState.from_document(leased.to_document()) == leased
    assert TokenState.from_document(None).generation == 0


def test_a_lease_expires_for_others_two_minutes_later_to_allow_for_clock_skew() -> None:
    lease = Lease("another", until=NOON, fence=3)
    assert lease.held(NOON + timedelta(seconds=119))
    assert not lease.held(NOON + timedelta(seconds=120))
    assert not Lease("", until=NOON + MINUTE, fence=3).held(NOON)


@given(st.integers(min_value=-120, max_value=120), st.integers(min_value=0, max_value=59))
def test_no_instance_within_two_minutes_of_skew_takes_a_lease_that_its_holder_still_has(skew: int, age: int) -> None:
    """The holder's clock shows NOON and `age`; the other clock differs by `skew`."""
    lease = STATE.leased("another", NOON, rejected=False).lease
    assert lease.held(NOON + timedelta(seconds=age + skew))


def test_a_request_needs_twenty_five_seconds_of_the_lease() -> None:
    lease = Lease("me", until=NOON + timedelta(seconds=25), fence=3)
    assert lease.enough_left(NOON)
    assert not lease.enough_left(NOON + timedelta(seconds=1))


def test_a_newer_pair_clears_all_failures_and_keeps_the_fencing_token() -> None:
    leased = STATE.leased("another", NOON - MINUTE, rejected=False)
    failed = leased.sent().failed(Phase.SENT, "no_answer", NOON)
    replaced = failed.replaced_by(9, TOKEN)
    assert (replaced.version, replaced.generation, replaced.phase) == (9, 8, Phase.OK)
    assert (replaced.attempts, replaced.retry_at, replaced.reason) == (0, None, "")
    assert replaced.lease.fence == failed.lease.fence
    assert not replaced.lease.held(NOON)


def test_recording_the_same_version_twice_changes_nothing() -> None:
    replaced = STATE.replaced_by(9, TOKEN)
    assert replaced.replaced_by(9, TOKEN) == replaced


def test_a_generation_never_decreases() -> None:
    assert STATE.replaced_by(9, dataclasses.replace(TOKEN, generation=2)).generation == 8
