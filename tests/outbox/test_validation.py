"""What an entry may ask for: every complaint at once, and never a value."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.outbox.entry_documents import OWN
from shared.outbox.fields import OFFSET_REMEDY, REQUIRED, WRITABLE
from shared.outbox.validation import Action, Refused, local_time, read_request

PATIENT: dict[str, Any] = {"gender": "Female", "doctor": 5, "first_name": "Ada", "date_of_birth": "1990-02-03"}
VISIT: dict[str, Any] = {
    "doctor": 5,
    "office": 6,
    "exam_room": 1,
    "patient": 90000042,
    "scheduled_time": "2026-03-10T09:00:00",
    "duration": 30,
}


def entry(kind: str = "patients", action: str = "create", **given: Any) -> dict[str, Any]:
    fields = PATIENT if kind == "patients" else VISIT
    return {"kind": kind, "action": action, "fields": fields, "requested_by": "booking", **given}


def complaints_of(data: dict[str, Any]) -> dict[str, list[str]]:
    with pytest.raises(Refused) as refused:
        read_request(data, own=OWN)
    return refused.value.complaints


def test_what_is_complete_is_taken_as_it_is() -> None:
    request = read_request(entry("appointments", allow_overlapping=True))
    assert (request.kind, request.action, request.id, request.fields) == ("appointments", Action.CREATE, None, VISIT)
    assert (request.allow_overlapping, request.allow_duplicates, request.scheduled_at) == (True, False, None)


def test_a_refusal_names_every_field_at_once() -> None:
    fields = {"gender": "planted", "email": 5, "date_of_birth": "1.2.1990", "updated_at": "2026", "chart_id": "1"}
    found = complaints_of(entry(fields=fields, requested_by="", id="7", allow_overlapping="yes", expcted=1))
    assert found.keys() == {
        *("gender", "email", "date_of_birth", "updated_at", "chart_id", "doctor"),
        *("requested_by", "id", "allow_overlapping", "expcted"),
    }
    assert "planted" not in str(found)
    assert found["doctor"] == ["it is required"]


@pytest.mark.parametrize("kind", WRITABLE)
def test_each_required_field_is_missed(kind: str) -> None:
    assert REQUIRED[kind] == tuple(name for name in REQUIRED[kind] if name in WRITABLE[kind])
    missed = complaints_of(entry(kind, fields={"reason" if kind == "appointments" else "city": "x"})).keys()
    assert missed == {*REQUIRED[kind], *(["duration"] if kind == "appointments" else [])}


def test_an_appointment_needs_a_duration_or_a_profile_and_may_have_no_patient() -> None:
    fields = {name: value for name, value in VISIT.items() if name != "duration"}
    assert complaints_of(entry("appointments", fields=fields)).keys() == {"duration"}
    assert read_request(entry("appointments", fields={**fields, "profile": 7}))
    assert read_request(entry("appointments", fields={**VISIT, "patient": None})).fields["patient"] is None


@pytest.mark.parametrize("time", ["2026-03-10T09:00:00Z", "2026-03-10T09:00:00-05:00", "2026-03-10T09:00+0000"])
def test_an_offset_is_refused_with_the_remedy(time: str) -> None:
    assert complaints_of(entry("appointments", fields={**VISIT, "scheduled_time": time})) == {
        "scheduled_time": [OFFSET_REMEDY]
    }


@pytest.mark.parametrize("time", ["2026-03-10", "2026-13-10T09:00:00", "9:00", 5, None, "2026-03-10T09:00:00.5"])
def test_what_is_no_local_time_is_refused(time: object) -> None:
    assert complaints_of(entry("appointments", fields={**VISIT, "scheduled_time": time})).keys() == {"scheduled_time"}


@pytest.mark.parametrize(
    ("instant", "zone", "local"),
    [
        ("2026-03-10T13:00:00Z", "US/Eastern", "2026-03-10T09:00:00"),
        ("2026-01-10T09:00:00-05:00", "US/Pacific", "2026-01-10T06:00:00"),
        (datetime(2026, 3, 8, 7, tzinfo=timezone.utc), "US/Eastern", "2026-03-08T03:00:00"),  # the hour that is skipped
        (datetime(2026, 11, 1, 6, tzinfo=timezone.utc), "US/Eastern", "2026-11-01T01:00:00"),  # the hour that repeats
        ("2026-03-10T13:00:00Z", "Nowhere/Else", None),
        ("2026-03-10T13:00:00Z", "../../etc/passwd", None),
    ],
)
def test_an_instant_becomes_the_doctors_local_time(instant: object, zone: str, local: str | None) -> None:
    fields = {name: value for name, value in VISIT.items() if name != "scheduled_time"}
    request = read_request(entry("appointments", fields={**fields, "scheduled_at": instant}))
    assert request.scheduled_at is not None
    assert local_time(request.scheduled_at, zone) == local
    if local is not None:
        assert request.at(local).fields == {**fields, "scheduled_time": local}


def test_one_time_is_given_and_it_has_an_offset() -> None:
    assert complaints_of(entry("appointments", fields={**VISIT, "scheduled_at": "2026-03-10T13:00:00Z"})).keys() == {
        "scheduled_at"
    }
    fields = {name: value for name, value in VISIT.items() if name != "scheduled_time"}
    for wrong in ("2026-03-10T13:00:00", 5, None):
        found = complaints_of(entry("appointments", fields={**fields, "scheduled_at": wrong}))
        assert found.keys() == {"scheduled_at"}
    assert "scheduled_at" in complaints_of(entry(fields={**PATIENT, "scheduled_at": "2026-03-10T13:00:00Z"}))


def test_an_update_needs_an_id_and_only_the_fields_that_change() -> None:
    update = entry(action="update", id=90000042, fields={"email": "a@example.com"}, expected_updated_at="2026-03-10")
    request = read_request(update)
    assert (request.id, request.expected_updated_at) == ("90000042", "2026-03-10")
    assert complaints_of({**update, "id": None}).keys() == {"id"}
    assert complaints_of({**update, "id": True}).keys() == {"id"}
    assert complaints_of({**update, "fields": {}}).keys() == {"fields"}
    assert complaints_of({**update, "expected_updated_at": 5}).keys() == {"expected_updated_at"}


@pytest.mark.parametrize("kind", ["clinical_notes", "nothing", None, 5, ["patients"]])
def test_only_patients_and_appointments_are_written(kind: Any) -> None:
    data = {**entry(), "kind": kind}
    assert "kind" in complaints_of(data)


def test_what_json_cannot_hold_is_refused() -> None:
    insurance = {"subscriber_date_of_birth": datetime(2026, 3, 10, tzinfo=timezone.utc)}
    assert complaints_of(entry(fields={**PATIENT, "primary_insurance": insurance})).keys() == {"primary_insurance"}
    nan = {"x": float("nan")}
    assert complaints_of(entry(fields={**PATIENT, "referring_doctor": nan})).keys() == {"referring_doctor"}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
    max_leaves=6,
)
names = st.sampled_from(sorted({*WRITABLE["patients"], *WRITABLE["appointments"], "scheduled_at", "id"})) | st.text(
    max_size=8
)


@given(
    st.sampled_from(["patients", "appointments", "other"]),
    st.sampled_from(["create", "update", "delete"]),
    st.dictionaries(names, values, max_size=6) | values,
    st.dictionaries(st.sampled_from(["id", "expected_updated_at", "requested_by", "state"]), values),
)
def test_any_document_is_a_request_or_refused(kind: str, action: str, fields: object, more: dict[str, object]) -> None:
    data = {"kind": kind, "action": action, "fields": fields, "requested_by": "booking", **more}
    found: dict[str, list[str]] = {}
    try:
        request = read_request(data, own=OWN)
    except Refused as refused:
        found = refused.complaints
    if found:
        assert all(name and texts for name, texts in found.items())
    else:
        assert request.fields.keys() <= WRITABLE[request.kind].keys()
