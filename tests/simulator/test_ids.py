"""Ids in unusual styles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest

from simulator import Config

from .conftest import Caller, bulk, pages

Simulate = Callable[..., Caller]
SINCE = {"since": "2020-01-01"}
CLINICAL = ("patients", "appointments", "clinical_notes", "medications", "problems", "allergies")


def key_of(record: dict[str, Any]) -> str:
    return str(record["id"] if "id" in record else record["appointment"])


@pytest.mark.parametrize("form", ["guide", "live"])
@pytest.mark.parametrize("style", ["large", "uuid", "escaped"])
def test_all_reads_and_references_work_with_unusual_ids(simulate: Simulate, form: str, style: str) -> None:
    caller = simulate(form=form, id_style=style)
    patients, visits = caller.simulator.truth("patients"), caller.simulator.truth("appointments")
    for kind in CLINICAL:
        truth = caller.simulator.truth(kind)
        assert {key_of(one) for page in pages(caller, f"/api/{kind}", **SINCE) for one in page} == set(truth)
        for key, record in truth.items():
            assert key == key_of(record)
            assert key_of(caller.get(f"/api/{kind}/{quote(key, safe='')}").json()) == key
            if kind != "patients" and record["patient"] is not None:
                assert str(record["patient"]) in patients
        key = next(iter(truth))
        assert key_of(caller.get(f"/control/truth/{kind}/{quote(key, safe='')}").json()) == key
    assert all(str(note["appointment"]) in visits for note in caller.simulator.truth("clinical_notes").values())
    patient = next(iter(caller.simulator.truth("problems").values()))["patient"]
    found = caller.get("/api/problems", patient=patient).json()["results"]
    assert found
    assert {problem["patient"] for problem in found} == {patient}


def test_large_ids_are_not_exact_as_doubles_and_keep_their_type(simulate: Simulate) -> None:
    for form, kind in (("guide", int), ("live", str)):
        caller = simulate(form=form, id_style="large")
        assert all(isinstance(one["id"], kind) for one in caller.simulator.truth("appointments").values())
        assert all(one["id"] > 2**53 for one in caller.simulator.truth("patients").values())


def test_uuids_are_repeatable(simulate: Simulate) -> None:
    first, second = (simulate(id_style="uuid").simulator.truth("patients") for _ in range(2))
    assert first == second
    assert all(str(UUID(key)) == key for key in first)


def test_the_style_of_one_kind_can_differ(simulate: Simulate) -> None:
    caller = simulate(id_style_of={"problems": "uuid"})
    assert all(key.isdecimal() for key in caller.simulator.truth("patients"))
    assert all(len(key) == 36 for key in caller.simulator.truth("problems"))


@pytest.mark.parametrize("style", ["large", "uuid", "escaped"])
def test_records_with_unusual_ids_are_created_changed_and_deleted(simulate: Simulate, style: str) -> None:
    caller = simulate(id_style=style)
    doctor = caller.simulator.clinic.doctors[0]["id"]
    patient = caller.call("POST", "/api/patients", json={"gender": "", "doctor": doctor, "last_name": "Ng"}).json()
    path = f"/api/patients/{quote(str(patient['id']), safe='')}"
    assert caller.call("PATCH", path, json={"city": "Dover"}).status_code == 204
    assert caller.get(path).json()["city"] == "Dover"
    problem = caller.call("POST", "/api/problems", json={"doctor": doctor, "patient": patient["id"]}).json()
    assert problem["patient"] == patient["id"]
    assert caller.call("DELETE", path).status_code == 204
    assert caller.get(path).status_code == 404
    assert caller.simulator.stats()["by_endpoint"]["GET /api/patients/{id}"] == 2


def test_a_fault_matches_an_unusual_id(simulate: Simulate) -> None:
    caller = simulate(form="live", id_style="escaped")
    key = next(iter(caller.simulator.truth("patients")))
    caller.simulator.faults.set([{"kind": "patients", "id": key, "fault": "500"}], replace=True)
    assert caller.get(f"/api/patients/{quote(key, safe='')}").status_code == 500
    assert caller.get("/api/patients").status_code == 500
    caller.simulator.faults.set([], replace=True)
    assert len(bulk(caller, "/api/patients_list")) == 10


@pytest.mark.parametrize("setting", ["id_style_of", "updated_at_shift_hours_of"])
def test_settings_of_unknown_kinds_are_refused(setting: str) -> None:
    with pytest.raises(ValueError, match="kind must be one of patients"):
        Config(**{setting: {"shoes": "uuid"}})  # type: ignore[arg-type]
