"""Every status with every body becomes data or one error, which contains nothing of the body."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.drchrono import calls
from shared.drchrono.answers import Answer, data_of
from shared.drchrono.kinds import KINDS
from shared.errors import BulkExpired, BulkFailed, DrChronoError, NotFound, OutcomeUnknown, ServerError, Throttled

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
PATIENTS = KINDS["patients"]
READ = calls.one(PATIENTS, "1")
CREATION = calls.creation(PATIENTS, {"first_name": "Ada"})
UPDATE = calls.change(PATIENTS, "1", {"first_name": "Ada"})
LIST = calls.changes(PATIENTS, since=None, window=None, archived=False, bulk=True)[calls.LIVE]

bodies = st.one_of(
    st.binary(max_size=60),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    ).map(lambda value: str(value).encode(errors="replace")),
)


@given(st.sampled_from([READ, CREATION, UPDATE, LIST]), st.integers(100, 599), bodies, st.none() | st.text(max_size=20))
def test_every_status_and_body_becomes_data_or_one_typed_error(
    call: calls.Call, status: int, body: bytes, retry_after: str | None
) -> None:
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    data, error = None, None
    try:
        data = data_of(call, Answer(status, headers, body), NOON)
    except DrChronoError as raised:
        error = raised
    if error is not None:
        assert error.status == status
        assert str(error).startswith(f"{call.operation} answered {status}")
    else:
        assert 200 <= status < 300
        assert data is None if call is UPDATE else isinstance(data, dict)


@pytest.mark.parametrize(
    ("call", "status", "body", "kind"),
    [
        (LIST, 404, b'{"detail": "Invalid uuid specified"}', BulkExpired),
        (LIST, 400, b'{"detail": "Invalid uuid specified"}', BulkExpired),
        (LIST, 404, b'{"detail": "Not found."}', NotFound),
        (READ, 404, b'{"detail": "Invalid uuid specified"}', NotFound),
        (LIST, 500, b'{"status": "Error", "uuid": "u", "detail": "x"}', BulkFailed),
        (LIST, 500, b'{"status": "Failed", "uuid": "u", "detail": "x"}', BulkFailed),
        (LIST, 200, b'{"status": "Canceled", "uuid": "u"}', BulkFailed),
        (LIST, 500, b"<h1>Server Error (500)</h1>", ServerError),
        (CREATION, 201, b'{"id": 1, "first_', OutcomeUnknown),
        (CREATION, 504, b"", OutcomeUnknown),
        (UPDATE, 303, b"", OutcomeUnknown),
        (UPDATE, 200, b"<html>maintenance</html>", OutcomeUnknown),
        (UPDATE, 408, b"", OutcomeUnknown),
        (CREATION, 408, b"", OutcomeUnknown),
    ],
)
def test_answers_to_lists_and_writes_become_their_own_errors(
    call: calls.Call, status: int, body: bytes, kind: type[DrChronoError]
) -> None:
    with pytest.raises(kind) as raised:
        data_of(call, Answer(status, {}, body), NOON)
    assert type(raised.value) is kind


def test_the_status_of_an_appointment_is_not_taken_for_a_failed_list() -> None:
    assert data_of(calls.one(KINDS["appointments"], "1"), Answer(200, {}, b'{"status": "Failed"}'), NOON)


@pytest.mark.parametrize(
    ("body", "complaints"),
    [
        (b'{"doctor": ["No such doctor."], "gender": "x"}', {"doctor": ["No such doctor."], "gender": ["x"]}),
        (b'["Appointment overlaps with [7]"]', {"detail": ["Appointment overlaps with [7]"]}),
        (b'{"detail": "No."}', {"detail": ["No."]}),
        (b'{"no such name!": ["x"]}', {"detail": ["x"]}),
        (b'{"doctor": []}', {}),
        (b"<h1>Bad Request</h1>", {}),
    ],
)
def test_a_refused_write_carries_its_complaints_beside_its_text(body: bytes, complaints: object) -> None:
    for status in (400, 409):
        with pytest.raises(DrChronoError) as raised:
            data_of(CREATION, Answer(status, {}, body), NOON)
        assert raised.value.complaints == complaints
        assert "overlaps" not in str(raised.value)
    with pytest.raises(DrChronoError) as raised:
        data_of(READ, Answer(400, {}, body), NOON)
    assert raised.value.complaints == {}


def test_an_update_is_answered_with_nothing_or_with_the_record() -> None:
    for status, body in ((204, b""), (200, b""), (200, b'{"id": 1}')):
        assert data_of(UPDATE, Answer(status, {}, body), NOON) is None


def test_a_429_states_when_requests_are_allowed_again() -> None:
    body = b'{"detail": "Request was throttled. Expected available in 2710.0 seconds."}'
    with pytest.raises(Throttled) as throttled:
        data_of(CREATION, Answer(429, {}, body), NOON)
    assert throttled.value.until == NOON + timedelta(seconds=2711)
