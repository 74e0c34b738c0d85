"""What a token state allows at a given time, and how a refresh without a new pair ends."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.tokens.decisions import Failure, Step, backoff, failure, next_step, refresh_is_due
from shared.tokens.state import Phase, TokenState
from shared.tokens.token import Refused, Unavailable, Unknown, Validity

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)
HOUR = Validity(NOON - 30 * MINUTE, NOON + 30 * MINUTE)
STATE = TokenState(version=7, generation=7, validity=HOUR, scope="patients:read")


def held(state: TokenState, *, since: timedelta) -> TokenState:
    return state.leased("another", NOON - since, rejected=False)


def test_a_good_token_is_used_in_every_phase_that_is_not_final() -> None:
    for phase in (Phase.OK, Phase.SENT, Phase.REFUSED):
        state = dataclasses.replace(STATE, phase=phase, retry_at=NOON + MINUTE)
        assert next_step(held(state, since=MINUTE), NOON, unusable=False) is Step.USE


def test_an_expired_token_is_refreshed_or_waited_for() -> None:
    later = NOON + 30 * MINUTE
    assert next_step(STATE, later, unusable=False) is Step.REFRESH
    assert next_step(held(STATE, since=-29 * MINUTE), later, unusable=False) is Step.WAIT


def test_within_the_margin_a_token_is_used_if_no_refresh_can_begin() -> None:
    near = NOON + 27 * MINUTE
    assert next_step(STATE, near, unusable=False) is Step.REFRESH
    assert next_step(held(STATE, since=-27 * MINUTE), near, unusable=False) is Step.USE
    down = dataclasses.replace(STATE, retry_at=near + MINUTE)
    assert next_step(down, near, unusable=False) is Step.USE
    assert next_step(down, near, unusable=True) is Step.POSTPONE


def test_a_final_phase_stops_even_if_the_token_has_time_left() -> None:
    for phase in (Phase.REVOKED, Phase.LOST):
        assert next_step(STATE.failed(phase, "invalid_grant", None), NOON, unusable=False) is Step.STOP


def test_a_token_rejected_right_after_a_refresh_is_not_refreshed_again_for_thirty_seconds() -> None:
    state = dataclasses.replace(STATE, rejected_at=NOON)
    assert next_step(state, NOON + timedelta(seconds=29), unusable=True) is Step.POSTPONE
    assert next_step(state, NOON + timedelta(seconds=30), unusable=True) is Step.REFRESH
    assert next_step(state, NOON + timedelta(seconds=29), unusable=False) is Step.USE


def test_the_job_refreshes_at_half_of_the_lifetime_and_whenever_an_outcome_is_unknown() -> None:
    assert refresh_is_due(STATE, NOON)
    assert not refresh_is_due(STATE, NOON - timedelta(seconds=1))
    assert refresh_is_due(STATE.sent(), NOON - 29 * MINUTE)


@given(st.integers(min_value=1, max_value=10_000), st.floats(min_value=0, max_value=1))
def test_pauses_grow_to_five_minutes_and_are_never_zero(attempts: int, random: float) -> None:
    seconds = backoff(attempts, random).total_seconds()
    assert 2.5 <= seconds <= 300
    assert backoff(attempts + 1, random) >= backoff(attempts, random)


@pytest.mark.parametrize(
    ("answer", "uncertain", "expected"),
    [
        (Refused("invalid_grant"), False, Failure(Phase.REVOKED, "invalid_grant", None)),
        (Refused("invalid_grant"), True, Failure(Phase.LOST, "invalid_grant", None)),
        (Refused("invalid_client"), False, Failure(Phase.REFUSED, "invalid_client", NOON + 15 * MINUTE)),
        (Refused("invalid_client"), True, Failure(Phase.SENT, "invalid_client", NOON + 15 * MINUTE)),
        (
            Unavailable("throttled", unspent=True, until=NOON + MINUTE),
            False,
            Failure(Phase.OK, "throttled", NOON + MINUTE),
        ),
        (
            Unavailable("unreachable", unspent=True),
            True,
            Failure(Phase.SENT, "unreachable", NOON + timedelta(seconds=5)),
        ),
        (
            Unavailable("status_503", unspent=False),
            False,
            Failure(Phase.SENT, "status_503", NOON + timedelta(seconds=5)),
        ),
        (Unknown("no_answer"), True, Failure(Phase.SENT, "no_answer", NOON + timedelta(seconds=5))),
    ],
)
def test_each_answer_without_a_pair_ends_in_its_phase(
    answer: Refused | Unavailable | Unknown, uncertain: bool, expected: Failure
) -> None:
    assert failure(answer, STATE, uncertain=uncertain, now=NOON, random=0) == expected
