"""Visibility: lost permissions, and a user without `share_patients`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from simulator import Config, Simulator

from .conftest import Caller, bulk, pages

Simulate = Callable[..., Caller]
CLINICAL = ("patients", "appointments", "clinical_notes", "medications", "problems", "allergies")
SINCE = {"since": "2020-01-01"}


def listed(caller: Caller, kind: str, **query: Any) -> list[dict[str, Any]]:
    return [record for page in pages(caller, f"/api/{kind}", **SINCE, **query) for record in page]


@pytest.mark.parametrize("single", ["show", "404"])
@pytest.mark.parametrize("form", ["guide", "live"])
@pytest.mark.parametrize("kind", [*CLINICAL, "doctors"])
def test_a_hidden_kind_is_an_empty_list_and_single_reads_show_or_404(
    simulate: Simulate, form: str, kind: str, single: str
) -> None:
    caller = simulate(form=form)
    caller.control("POST", "visibility", hidden=[{"kind": kind, "single": single}])
    empty = caller.get(f"/api/{kind}", **SINCE)
    assert (empty.status_code, empty.json()) == (200, {"previous": None, "results": [], "next": None})
    key = next(iter(caller.simulator.truth(kind)))
    assert caller.get(f"/api/{kind}/{key}").status_code == (200 if single == "show" else 404)
    other = "patients" if kind != "patients" else "problems"
    assert listed(caller, other)
    caller.control("DELETE", "visibility")
    assert len(listed(caller, kind)) == len(caller.simulator.truth(kind))


def test_bulk_lists_of_a_hidden_kind_are_complete_and_empty(simulate: Simulate) -> None:
    live, guide = simulate(form="live"), simulate()
    for caller in (live, guide):
        caller.control("POST", "visibility", hidden=[{"kind": "patients"}])
        assert bulk(caller, "/api/patients_list") == []
    assert guide.get("/api/patients_list").json()["results"] == []


@pytest.mark.parametrize("kind", ["appointments", "clinical_notes", "problems"])
@pytest.mark.parametrize("owner", ["patient", "doctor"])
@pytest.mark.parametrize("form", ["guide", "live"])
def test_only_the_records_of_one_patient_or_doctor_are_hidden(
    simulate: Simulate, form: str, kind: str, owner: str
) -> None:
    caller = simulate(form=form, patients=40)
    visits = caller.simulator.truth("appointments")
    truth = caller.simulator.truth(kind)

    def owner_of(key: str) -> str:
        if kind == "clinical_notes":
            return str(visits[str(truth[key]["appointment"])][owner])
        return str(truth[key][owner])

    hidden = owner_of(next(iter(truth)))
    caller.control("POST", "visibility", hidden=[{"kind": kind, owner: hidden, "single": "404"}])
    statuses = {caller.get(f"/api/{kind}/{key}").status_code for key in truth if owner_of(key) == hidden}
    assert statuses == {404}
    assert len(listed(caller, kind)) == sum(owner_of(key) != hidden for key in truth)
    assert listed(caller, kind, **{owner: hidden}) == []
    assert {caller.get(f"/api/{kind}/{key}").status_code for key in truth if owner_of(key) != hidden} == {200}


@pytest.mark.parametrize("form", ["guide", "live"])
def test_a_user_without_share_patients_sees_one_doctors_patients_and_their_records(
    simulate: Simulate, form: str
) -> None:
    caller = simulate(form=form, patients=30, share_patients=False)
    doctor = caller.simulator.clinic.doctors[0]["id"]
    patients = caller.simulator.truth("patients")
    own = {key for key, patient in patients.items() if patient["doctor"] == doctor}
    assert 0 < len(own) < 30
    assert {str(patient["id"]) for patient in listed(caller, "patients")} == own
    for kind in CLINICAL[1:]:
        truth = caller.simulator.truth(kind)
        mine = {
            key
            for key, record in truth.items()
            if str(record["patient"]) in own or (record["patient"] is None and record["doctor"] == doctor)
        }
        assert 0 < len(mine) < len(truth)
        assert {
            str(record.get("id", record["appointment"])) if kind == "clinical_notes" else str(record["id"])
            for record in listed(caller, kind)
        } == mine
        for key in list(truth)[:40]:
            assert caller.get(f"/api/{kind}/{key}").status_code == (200 if key in mine else 404)
    for kind in ("doctors", "offices", "users", "appointment_profiles"):
        assert len(listed(caller, kind)) == len(caller.simulator.truth(kind))


def test_the_one_doctor_can_be_chosen_and_the_rest_cannot_be_written(simulate: Simulate) -> None:
    caller = simulate(patients=30)
    doctor = caller.simulator.clinic.doctors[1]["id"]
    caller.control("POST", "visibility", only_doctor=doctor)
    assert {patient["doctor"] for patient in listed(caller, "patients")} == {doctor}
    other = next(key for key, one in caller.simulator.truth("patients").items() if one["doctor"] != doctor)
    for method in ("PATCH", "PUT", "DELETE"):
        assert caller.call(method, f"/api/patients/{other}", json={}).status_code == 404
    caller.control("POST", "visibility", only_doctor=None)
    assert caller.call("PATCH", f"/api/patients/{other}", json={}).status_code == 204


def test_visibility_has_a_python_interface_and_can_be_read(simulate: Simulate) -> None:
    with Simulator(Config(patients=3, clock="virtual")) as simulator:
        caller = Caller(simulator)
        simulator.visibility.set([{"kind": "problems", "patient": 5}])
        rule = {"kind": "problems", "patient": 5, "doctor": None, "single": "show"}
        assert caller.control("GET", "visibility") == {"only_doctor": None, "hidden": [rule]}
