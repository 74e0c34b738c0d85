"""The token pair's value, its lifetime, and the body of the token endpoint."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.tokens.token import Granted, Token, Validity, read_grant, to_token

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
TWO_DAYS = Validity(NOON, NOON + timedelta(seconds=172_800))
TOKEN = Token("an-access-token", "a-refresh-token", TWO_DAYS, scope="patients:read", generation=7)


def test_a_pair_is_stored_as_one_json_object_and_read_back() -> None:
    assert TOKEN.to_json() == (
        '{"access_token": "an-access-token", "refresh_token": "a-refresh-token", '
        '"expires_at": "2026-03-03T12:00:00+00:00", "scope": "patients:read", "generation": 7, '
        '"obtained_at": "2026-03-01T12:00:00+00:00"}'
    )
    assert Token.from_json(TOKEN.to_json()) == TOKEN


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "an-access-token",
        "[]",
        "null",
        "{}",
        TOKEN.to_json().replace("7", '"7"'),
        TOKEN.to_json().replace('"an-access-token"', "1"),
        TOKEN.to_json().replace("+00:00", ""),
        "[" * 100_000,
    ],
)
def test_a_payload_of_another_shape_is_no_token(payload: str) -> None:
    assert Token.from_json(payload) is None


@given(st.text())
def test_no_payload_raises(payload: str) -> None:
    assert Token.from_json(payload) is None


def test_no_representation_of_a_pair_shows_its_tokens() -> None:
    granted = Granted("an-access-token", "a-refresh-token", 60, "")
    for shown in (repr(TOKEN), str(TOKEN), f"{TOKEN}", repr(granted), repr([TOKEN, granted])):
        assert "an-access-token" not in shown
        assert "a-refresh-token" not in shown


def test_a_token_counts_as_expired_five_minutes_early() -> None:
    assert TWO_DAYS.fresh(TWO_DAYS.expires_at - timedelta(seconds=301))
    assert not TWO_DAYS.fresh(TWO_DAYS.expires_at - timedelta(seconds=300))
    assert TWO_DAYS.alive(TWO_DAYS.expires_at - timedelta(seconds=1))
    assert not TWO_DAYS.alive(TWO_DAYS.expires_at)


def test_a_token_of_one_minute_is_good_for_nine_tenths_of_that() -> None:
    short = Validity(NOON, NOON + timedelta(seconds=60))
    assert short.fresh(NOON + timedelta(seconds=53))
    assert not short.fresh(NOON + timedelta(seconds=54))


def test_the_job_refreshes_at_half_of_the_lifetime() -> None:
    assert not TWO_DAYS.half_gone(NOON + timedelta(hours=23, minutes=59))
    assert TWO_DAYS.half_gone(NOON + timedelta(hours=24))


def test_the_lifetime_is_taken_from_the_answer() -> None:
    granted = read_grant(
        {
            "access_token": "a",
            "token_type": "Bearer",
            "expires_in": 172800,
            "refresh_token": "r",
            "scope": "user:read",
        }
    )
    assert granted == Granted("a", "r", 172800, "user:read")
    assert granted is not None
    token = to_token(granted, now=NOON, generation=8)
    assert token == Token("a", "r", TWO_DAYS, "user:read", 8)


def test_the_pair_before_fills_in_what_an_answer_omits() -> None:
    """The guide's own code: `data.refresh_token || refreshToken`."""
    granted = read_grant({"access_token": "a", "expires_in": "60"})
    assert granted is not None
    token = to_token(granted, now=NOON, generation=8, before=TOKEN)
    assert (token.access_token, token.refresh_token, token.scope) == ("a", "a-refresh-token", "patients:read")
    assert token.validity.lifetime == timedelta(seconds=60)


@pytest.mark.parametrize("body", [None, [], "a", {}, {"access_token": ""}, {"access_token": 1}, {"error": "x"}])
def test_a_body_without_an_access_token_is_no_grant(body: object) -> None:
    assert read_grant(body) is None


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers())))
@example(5e-324)
def test_no_value_of_expires_in_loses_a_pair(expires_in: object) -> None:
    granted = read_grant({"access_token": "a", "refresh_token": "r", "expires_in": expires_in})
    assert granted is not None
    token = to_token(granted, now=NOON, generation=1)
    assert token.validity.expires_at > NOON
    assert token.refresh_token == "r"


@given(
    generation=st.integers(min_value=1),
    texts=st.tuples(st.text(), st.text(), st.text()),
    seconds=st.integers(min_value=0, max_value=10**9),
)
def test_every_stored_pair_is_read_back(generation: int, texts: tuple[str, str, str], seconds: int) -> None:
    access, refresh, scope = texts
    validity = Validity(NOON, NOON + timedelta(seconds=seconds))
    token = Token(access, refresh, validity, scope, generation)
    assert Token.from_json(token.to_json()) == token
    assert dataclasses.replace(token) == token
