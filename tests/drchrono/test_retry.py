from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.drchrono.retry import pause_before_repeat, throttled_until
from shared.errors import (
    BadRequest,
    BulkFailed,
    DrChronoError,
    Forbidden,
    MalformedAnswer,
    NotFound,
    OutcomeUnknown,
    ServerError,
    Throttled,
    Unreachable,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


def wait(retry_after: str | None, text: str = "") -> float:
    return (throttled_until(NOON, retry_after=retry_after, text=text) - NOON).total_seconds()


@pytest.mark.parametrize(
    ("retry_after", "text", "seconds"),
    [
        ("120", "", 121),
        (" 7 ", "", 8),
        ("0.5", "", 2),
        ("0", "", 2),
        ("Sun, 01 Mar 2026 12:10:00 GMT", "", 601),
        ("Sun, 01 Mar 2026 07:10:00 -0500", "", 601),
        ("Sun, 01 Mar 2026 11:00:00 GMT", "", 2),  # a date that is past
        (None, '{"detail":"Request was throttled. Expected available in 2710.0 seconds."}', 2711),
        (None, "Expected available in 1 second.", 2),
        (None, "", 61),  # nothing said
        (None, "come back later", 61),
        ("soon", "Expected available in 30.0 seconds.", 31),  # an unreadable header does not hide the text
        ("-5", "", 61),
        ("", "", 61),
        ("90", "Expected available in 30.0 seconds.", 91),  # the header comes first
        ("999999999999", "", 3601),  # nobody is believed for longer than DrChrono's longest window
        (None, f"available in {'9' * 400} seconds", 3601),
    ],
)
def test_a_429_is_read_from_header_or_text(retry_after: str | None, text: str, seconds: float) -> None:
    assert wait(retry_after, text) == seconds


@given(st.one_of(st.none(), st.text(max_size=60)), st.text(max_size=200))
def test_the_wait_after_any_429_is_between_two_seconds_and_an_hour(header: str | None, text: str) -> None:
    assert 2 <= wait(header, text) <= 3601


@given(st.integers(1, 3600))
def test_seconds_are_kept_in_every_form(seconds: int) -> None:
    date = format_datetime(NOON + timedelta(seconds=seconds), usegmt=True)
    text = f"Request was throttled. Expected available in {float(seconds)} seconds."
    assert wait(str(seconds)) == wait(date) == wait(None, text) == seconds + 1


@given(st.datetimes(timezones=st.timezones()))
def test_any_date_is_read(moment: datetime) -> None:
    assert 2 <= wait(format_datetime(moment)) <= 3601


def error(kind: type[DrChronoError]) -> DrChronoError:
    return Throttled("GET /x", until=NOON) if kind is Throttled else kind("GET /x")


@pytest.mark.parametrize("kind", [Unreachable, ServerError, MalformedAnswer])
def test_a_read_is_repeated_once_after_a_temporary_failure(kind: type[DrChronoError]) -> None:
    assert pause_before_repeat(error(kind), attempt=1, writes=False, jitter=0.0) == 0.5
    assert pause_before_repeat(error(kind), attempt=1, writes=False, jitter=1.0) == 2.0
    assert pause_before_repeat(error(kind), attempt=2, writes=False, jitter=0.5) is None


@pytest.mark.parametrize("kind", [BadRequest, Forbidden, NotFound, Throttled, BulkFailed, OutcomeUnknown])
def test_no_other_failure_is_repeated(kind: type[DrChronoError]) -> None:
    assert pause_before_repeat(error(kind), attempt=1, writes=False, jitter=0.5) is None


def test_a_write_is_repeated_only_if_nothing_was_sent() -> None:
    assert pause_before_repeat(error(Unreachable), attempt=1, writes=True, jitter=0.0) == 0.5
    for kind in (ServerError, MalformedAnswer, OutcomeUnknown, Throttled):
        assert pause_before_repeat(error(kind), attempt=1, writes=True, jitter=0.0) is None
