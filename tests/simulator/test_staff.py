"""Doctors, offices, users and appointment profiles: kinds of the practice, read only."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .conftest import Caller, pages

Simulate = Callable[..., Caller]
KINDS = ("doctors", "offices", "users", "appointment_profiles")
FIELDS = {
    "doctors": {"timezone", "is_account_suspended", "npi_number", "practice_group"},
    "offices": {"state", "zip_code", "exam_rooms", "archived", "doctor"},
    "users": {"username", "doctor", "practice_group", "is_doctor", "is_staff", "id", "permissions"},
    "appointment_profiles": {"name", "doctor", "color", "reason", "sort_order", "duration", "archived"},
}


@pytest.mark.parametrize("form", ["guide", "live"])
@pytest.mark.parametrize("kind", KINDS)
def test_they_are_listed_in_pages_read_singly_and_filtered_by_doctor(simulate: Simulate, form: str, kind: str) -> None:
    caller = simulate(form=form)
    truth = caller.simulator.truth(kind)
    assert [one for page in pages(caller, f"/api/{kind}", page_size=1, verbose="true") for one in page] == list(
        truth.values()
    )
    for key, record in truth.items():
        assert caller.get(f"/api/{kind}/{key}", verbose="true").json() == record
        assert set(record) >= FIELDS[kind]
    if kind != "doctors":
        doctor = next(iter(truth.values()))["doctor"]
        found = caller.get(f"/api/{kind}", doctor=doctor, verbose="true").json()["results"]
        assert found == [one for one in truth.values() if one["doctor"] == doctor]
    assert caller.get(f"/api/{kind}/1").status_code == 404
    for method in ("POST", "PATCH", "DELETE"):
        path = f"/api/{kind}" if method == "POST" else f"/api/{kind}/1"
        assert caller.call(method, path, json={}).status_code == 405
    assert caller.get(f"/api/{kind}_list").status_code == 404


def test_they_have_no_since_no_updated_at_and_no_time_zone_of_an_office(simulate: Simulate) -> None:
    caller = simulate(form="live")
    for kind in KINDS:
        found = caller.get(f"/api/{kind}", since="2099-01-01").json()["results"]
        assert found
        assert all("updated_at" not in record for record in found)
    assert "timezone" not in caller.get("/api/offices").json()["results"][0]


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_created_changed_and_deleted_without_webhooks(simulate: Simulate, kind: str) -> None:
    caller = simulate(form="live")
    made = caller.control("POST", "create", kind=kind)
    assert made["event"] is None
    before = caller.simulator.truth(kind)[str(made["id"])]
    caller.control("POST", "change", kind=kind, id=made["id"])
    assert caller.get(f"/api/{kind}/{made['id']}").json() != before
    caller.control("POST", "delete", kind=kind, id=made["id"])
    assert caller.get(f"/api/{kind}/{made['id']}").status_code == 404


def test_the_current_user_has_permissions_a_doctor_and_a_practice_group(simulate: Simulate) -> None:
    caller = simulate()
    user = caller.get("/api/users/current").json()
    doctor = caller.get(f"/api/doctors/{user['doctor']}").json()
    assert (user["is_doctor"], user["practice_group"]) == (True, doctor["practice_group"])
    assert user["permissions"]["manage-patients"] is True
    assert "share_patients" not in user["permissions"]
    shown = simulate(permissions_show_sharing=True, share_patients=False)
    assert shown.get("/api/users/current").json()["permissions"]["share_patients"] is False


def test_doctors_need_user_read_and_profiles_calendar_read(simulate: Simulate) -> None:
    caller = simulate()
    caller.use(caller.simulator.issue_token("calendar:read")["access_token"])
    assert caller.get("/api/appointment_profiles").status_code == 200
    assert {caller.get(f"/api/{kind}").status_code for kind in ("doctors", "offices")} == {403}


@pytest.mark.parametrize("form", ["guide", "live"])
@pytest.mark.parametrize("kind", ["medications", "problems", "allergies"])
def test_chart_entries_of_the_whole_practice_are_listed_by_250_or_50_and_by_doctor(
    simulate: Simulate, form: str, kind: str
) -> None:
    caller = simulate(form=form, patients=160, children=3, appointments=0)
    truth = caller.simulator.truth(kind)
    assert len(truth) > 300
    for query, size in (({}, 250), ({"verbose": "true"}, 50), ({"page_size": 5000}, 250)):
        found = pages(caller, f"/api/{kind}", **query)
        assert [len(page) for page in found[:-1]] == [size] * (len(truth) // size)
        assert [str(one["id"]) for page in found for one in page] == list(truth)
    by_doctor = [
        str(one["id"])
        for doctor in caller.simulator.clinic.doctors
        for page in pages(caller, f"/api/{kind}", doctor=doctor["id"])
        for one in page
    ]
    assert sorted(by_doctor) == sorted(truth)
    assert caller.get(f"/api/{kind}_list").status_code == 404
