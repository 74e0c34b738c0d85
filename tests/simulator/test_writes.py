"""Writes through the API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Caller

Simulate = Callable[..., Caller]


def visit_fields(caller: Caller, **fields: Any) -> dict[str, Any]:
    clinic = caller.simulator.clinic
    return {
        "doctor": clinic.doctors[0]["id"],
        "office": clinic.offices[0]["id"],
        "patient": int(next(iter(caller.simulator.truth("patients")))),
        "exam_room": 1,
        "scheduled_time": "2027-05-03T09:00:00",
        "duration": 30,
        **fields,
    }


@pytest.mark.parametrize("encoding", ["json", "data"])
def test_a_post_creates_a_record_and_returns_it_in_full(simulate: Simulate, encoding: str) -> None:
    caller = simulate()
    doctor = caller.simulator.clinic.doctors[0]["id"]
    fields = {"gender": "Female", "doctor": doctor, "first_name": "Nina", "last_name": "Ørsted", "copay": "5.00"}
    response = caller.call("POST", "/api/patients", **{encoding: fields})
    assert response.status_code == 201
    made = response.json()
    assert {name: made[name] for name in fields} == fields
    assert made["chart_id"].startswith("NIRS")
    assert "primary_insurance" in made
    assert made["created_at"] == made["updated_at"] == "2026-03-10T11:00:00"
    assert caller.simulator.truth("patients")[str(made["id"])] == made


def test_a_repeated_post_creates_a_second_record(simulate: Simulate) -> None:
    caller = simulate()
    fields = {"gender": "", "doctor": caller.simulator.clinic.doctors[0]["id"], "first_name": "Twin"}
    first, second = (caller.call("POST", "/api/patients", json=fields).json()["id"] for _ in range(2))
    assert first != second


@pytest.mark.parametrize(
    ("path", "missing"),
    [
        ("/api/patients", ["gender", "doctor"]),
        ("/api/appointments", ["doctor", "exam_room", "office", "patient", "scheduled_time"]),
        ("/api/medications", ["doctor", "patient"]),
    ],
)
def test_missing_fields_are_named(simulate: Simulate, path: str, missing: list[str]) -> None:
    refused = simulate().call("POST", path, json={})
    assert refused.status_code == 400
    assert refused.json() == {name: ["This field is required."] for name in missing}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("doctor", 1, 'Invalid pk "1" - object does not exist.'),
        ("doctor", "first", "A valid integer is required."),
        ("gender", "Unknown", '"Unknown" is not a valid choice.'),
        ("first_name", None, "This field may not be null."),
        ("date_of_birth", "1.2.1970", "Date has wrong format. Use one of these formats instead: YYYY-MM-DD."),
        ("primary_insurance", "none", "Expected a dictionary."),
    ],
)
def test_an_invalid_value_is_refused_with_its_field(simulate: Simulate, name: str, value: object, message: str) -> None:
    caller = simulate()
    key = next(iter(caller.simulator.truth("patients")))
    refused = caller.call("PATCH", f"/api/patients/{key}", json={name: value})
    assert (refused.status_code, refused.json()) == (400, {name: [message]})


@pytest.mark.parametrize("fields", [{}, {"city": "Dover", "id": 5, "no_such_field": 1}])
def test_a_patch_returns_no_body_and_moves_updated_at_even_if_empty(simulate: Simulate, fields: dict[str, Any]) -> None:
    caller = simulate()
    key, before = next(iter(caller.simulator.truth("patients").items()))
    response = caller.call("PATCH", f"/api/patients/{key}", json=fields)
    assert (response.status_code, response.content) == (204, b"")
    after = caller.simulator.truth("patients")[key]
    known = {name: value for name, value in fields.items() if name == "city"}
    assert after == {**before, **known, "updated_at": "2026-03-10T11:00:00"}


def test_a_put_requires_all_required_fields(simulate: Simulate) -> None:
    caller = simulate()
    key = next(iter(caller.simulator.truth("patients")))
    assert caller.call("PUT", f"/api/patients/{key}", json={"city": "Dover"}).status_code == 400
    doctor = caller.simulator.clinic.doctors[0]["id"]
    whole = {"city": "Dover", "gender": "Other", "doctor": doctor}
    assert caller.call("PUT", f"/api/patients/{key}", json=whole).status_code == 204


@pytest.mark.parametrize("kind", ["patients", "appointments"])
def test_a_deleted_record_is_not_found(simulate: Simulate, kind: str) -> None:
    caller = simulate()
    key = next(iter(caller.simulator.truth(kind)))
    deleted = caller.call("DELETE", f"/api/{kind}/{key}")
    assert (deleted.status_code, deleted.content) == (204, b"")
    for method in ("GET", "PATCH", "DELETE"):
        assert caller.call(method, f"/api/{kind}/{key}", json={}).status_code == 404
    assert key not in caller.simulator.truth(kind)


def test_overlapping_appointments_conflict_unless_allowed(simulate: Simulate) -> None:
    caller = simulate()
    first = caller.call("POST", "/api/appointments", json=visit_fields(caller)).json()
    again = caller.call("POST", "/api/appointments", json=visit_fields(caller, scheduled_time="2027-05-03T09:15:00"))
    assert (again.status_code, again.json()) == (409, [f"Appointment overlaps with [{first['id']}]"])
    next_to_it = visit_fields(caller, scheduled_time="2027-05-03T09:30:00")
    second = caller.call("POST", "/api/appointments", json=next_to_it)
    assert second.status_code == 201
    moved = {"scheduled_time": "2027-05-03T09:29"}
    assert caller.call("PATCH", f"/api/appointments/{second.json()['id']}", json=moved).status_code == 409
    allowed = visit_fields(caller, allow_overlapping=True)
    assert caller.call("POST", "/api/appointments", json=allowed).status_code == 201


def test_only_a_break_has_no_patient(simulate: Simulate) -> None:
    caller = simulate()
    a_break = visit_fields(caller, patient=None, appt_is_break=True)
    assert caller.call("POST", "/api/appointments", json=a_break).json()["patient"] is None
    nobody = visit_fields(caller, patient=None, scheduled_time="2027-05-04T09:00:00")
    refused = caller.call("POST", "/api/appointments", json=nobody)
    assert refused.json() == {"patient": ["This field may not be null."]}


def test_a_status_change_is_recorded_in_the_transitions(simulate: Simulate) -> None:
    caller = simulate(form="live")
    key = caller.call("POST", "/api/appointments", json=visit_fields(caller)).json()["id"]
    assert isinstance(key, str)
    caller.call("PATCH", f"/api/appointments/{key}", json={"status": "Arrived"})
    (step,) = caller.get(f"/api/appointments/{key}", verbose="true").json()["status_transitions"]
    assert (step["from_status"], step["to_status"], step["datetime"]) == ("", "Arrived", "2026-03-10T11:00:00")


@pytest.mark.parametrize("kind", ["medications", "problems", "allergies"])
def test_chart_entries_can_be_created_and_changed_but_not_deleted(simulate: Simulate, kind: str) -> None:
    caller = simulate()
    visit = visit_fields(caller)
    fields = {"doctor": visit["doctor"], "patient": visit["patient"], "notes": "as told"}
    made = caller.call("POST", f"/api/{kind}", data=fields).json()
    assert (made["patient"], made["notes"], made["status"]) == (visit["patient"], "as told", "active")
    assert caller.call("PATCH", f"/api/{kind}/{made['id']}", json={"notes": "no more"}).status_code == 204
    assert caller.get(f"/api/{kind}/{made['id']}").json()["notes"] == "no more"
    refused = caller.call("DELETE", f"/api/{kind}/{made['id']}")
    assert (refused.status_code, refused.json()) == (405, {"detail": 'Method "DELETE" not allowed.'})


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_clinical_notes_are_read_only(simulate: Simulate, method: str) -> None:
    caller = simulate()
    key = next(iter(caller.simulator.truth("clinical_notes")))
    path = "/api/clinical_notes" + ("" if method == "POST" else f"/{key}")
    assert caller.call(method, path, json={}).status_code == 405


def test_an_invalid_json_body_is_refused(simulate: Simulate) -> None:
    response = simulate().call("POST", "/api/patients", data=b"{", headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert response.json()["detail"].startswith("JSON parse error")
