"""What the pointer allows at a moment: pure decisions."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from shared.errors import TokenRevoked, TokenUnavailable
from shared.tokens.state import (
    Lease,
    Phase,
    Step,
    TokenState,
    backoff,
    next_step,
    postponed,
    refresh_is_due,
    revoked,
)
from shared.tokens.token import Token, Validity

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)
HOUR = Validity(NOON - 30 * MINUTE, NOON + 30 * MINUTE)
POINTER = TokenState(version=7, generation=7, validity=HOUR, scope="patients:read")
TOKEN = Token("a", "r", Validity(NOON, NOON + 60 * MINUTE), "patients:read", generation=8)


def held(pointer: TokenState, *, since: timedelta) -> TokenState:
    return pointer.leased("another", NOON - since, rejected=False)


def test_a_pointer_survives_its_document() -> None:
    pointer = dataclasses.replace(POINTER, state=Phase.SENT, attempts=2, retry_at=NOON, reason="x", rejected_at=NOON)
    leased = pointer.leased("me", NOON, rejected=True)
    assert TokenState.from_document(leased.to_document()) == leased
    assert TokenState.from_document(None).generation == 0


def test_a_good_token_is_used_whatever_goes_on_around_it() -> None:
    for state in (Phase.OK, Phase.SENT, Phase.REFUSED):
        pointer = dataclasses.replace(POINTER, state=state, retry_at=NOON + MINUTE)
        assert next_step(held(pointer, since=MINUTE), NOON, unusable=False) is Step.USE


def test_an_expired_token_is_refreshed_or_waited_for() -> None:
    later = NOON + 30 * MINUTE
    assert next_step(POINTER, later, unusable=False) is Step.REFRESH
    assert next_step(held(POINTER, since=-29 * MINUTE), later, unusable=False) is Step.WAIT


def test_inside_the_margin_a_token_serves_where_no_refresh_can_begin() -> None:
    near = NOON + 27 * MINUTE
    assert next_step(POINTER, near, unusable=False) is Step.REFRESH
    assert next_step(held(POINTER, since=-27 * MINUTE), near, unusable=False) is Step.USE
    down = dataclasses.replace(POINTER, retry_at=near + MINUTE)
    assert next_step(down, near, unusable=False) is Step.USE
    assert next_step(down, near, unusable=True) is Step.POSTPONE


def test_a_final_state_stops_even_where_the_token_has_time_left() -> None:
    for state in (Phase.REVOKED, Phase.LOST):
        assert next_step(POINTER.ended(state, "invalid_grant"), NOON, unusable=False) is Step.STOP


def test_a_lease_lapses_a_minute_on_and_two_for_the_difference_of_clocks() -> None:
    lease = Lease("another", until=NOON, fence=3)
    assert lease.held(NOON + timedelta(seconds=119))
    assert not lease.held(NOON + timedelta(seconds=120))
    assert not Lease("", until=NOON + MINUTE, fence=3).held(NOON)


@given(st.integers(min_value=-120, max_value=120), st.integers(min_value=0, max_value=59))
def test_no_instance_within_two_minutes_takes_a_lease_that_its_holder_thinks_it_has(skew: int, age: int) -> None:
    """The holder's clock shows NOON and `age`, the other's differs by `skew`."""
    lease = POINTER.leased("another", NOON, rejected=False).lease
    assert lease.held(NOON + timedelta(seconds=age + skew))


def test_a_request_needs_twenty_five_seconds_of_the_lease() -> None:
    lease = Lease("me", until=NOON + timedelta(seconds=25), fence=3)
    assert lease.enough_left(NOON)
    assert not lease.enough_left(NOON + timedelta(seconds=1))


def test_a_token_refused_right_after_a_refresh_is_not_refreshed_again_at_once() -> None:
    pointer = dataclasses.replace(POINTER, rejected_at=NOON)
    assert next_step(pointer, NOON + timedelta(seconds=29), unusable=True) is Step.POSTPONE
    assert next_step(pointer, NOON + timedelta(seconds=30), unusable=True) is Step.REFRESH
    assert next_step(pointer, NOON + timedelta(seconds=29), unusable=False) is Step.USE


def test_the_job_refreshes_at_half_time_and_wherever_an_end_is_open() -> None:
    assert refresh_is_due(POINTER, NOON)
    assert not refresh_is_due(POINTER, NOON - timedelta(seconds=1))
    assert refresh_is_due(POINTER.sent(), NOON - 29 * MINUTE)


def test_moving_on_leaves_nothing_of_the_troubles_and_keeps_the_fence() -> None:
    troubled = held(POINTER, since=MINUTE).sent().put_off(Phase.SENT, "no_answer", NOON)
    moved = troubled.moved(9, TOKEN)
    assert (moved.version, moved.generation, moved.state) == (9, 8, Phase.OK)
    assert (moved.attempts, moved.retry_at, moved.reason) == (0, None, "")
    assert moved.lease.fence == troubled.lease.fence
    assert not moved.lease.held(NOON)


def test_moving_twice_is_moving_once() -> None:
    moved = POINTER.moved(9, TOKEN)
    assert moved.moved(9, TOKEN) == moved


def test_a_generation_never_goes_back() -> None:
    assert POINTER.moved(9, dataclasses.replace(TOKEN, generation=2)).generation == 8


@given(st.integers(min_value=1, max_value=10_000), st.floats(min_value=0, max_value=1))
def test_the_pauses_grow_to_five_minutes_and_never_vanish(attempts: int, random: float) -> None:
    seconds = backoff(attempts, random).total_seconds()
    assert 2.5 <= seconds <= 300
    assert backoff(attempts + 1, random) >= backoff(attempts, random)


def test_the_messages_name_what_happened_and_the_command() -> None:
    lost = revoked(POINTER.ended(Phase.LOST, "invalid_grant"))
    assert "answer to a token refresh was lost" in str(lost)
    assert "python -m ops authorize" in str(lost)
    assert "authorized elsewhere" in str(revoked(POINTER.ended(Phase.REVOKED, "invalid_grant")))
    client = postponed(POINTER.put_off(Phase.REFUSED, "invalid_client", NOON + MINUTE), NOON, unusable=True)
    assert isinstance(client, TokenRevoked)
    assert "DRCHRONO_CLIENT_SECRET" in str(client)
    down = postponed(POINTER.put_off(Phase.SENT, "status_503", NOON + MINUTE), NOON, unusable=True)
    assert isinstance(down, TokenUnavailable)
    assert "status_503" in str(down)
    assert "12:01:00 UTC" in str(down)
