"""Bulk lists in the three forms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Caller

Simulate = Callable[..., Caller]


def start(caller: Caller, path: str, **query: Any) -> str:
    response = caller.call("POST", path, params=query)
    assert response.status_code == 201
    body = response.json()
    assert body["status"] == "In progress"
    uuid: str = body["uuid"]
    assert body["description"] == f"Call {caller.simulator.url}{path}?uuid={uuid} to get the list"
    return uuid


def finish(caller: Caller, path: str, uuid: str) -> Any:
    while (body := caller.get(path, uuid=uuid).json())["status"] == "In progress":
        assert body["uuid"] == uuid
    return body


def test_the_guides_bulk_list_answers_at_once_with_up_to_1000_records_and_next(simulate: Simulate) -> None:
    caller = simulate(patients=1100, appointments=0, children=0)
    body = caller.get("/api/patients_list", since="2020-01-01T00:00:00Z").json()
    rest = caller.get(body["next"]).json()
    assert (len(body["results"]), len(rest["results"]), rest["next"]) == (1000, 100, None)
    assert "primary_insurance" in body["results"][0]
    assert {str(one["id"]): one for one in body["results"] + rest["results"]} == caller.simulator.truth("patients")


def test_a_list_takes_its_time_however_often_it_is_asked_for(simulate: Simulate) -> None:
    caller = simulate(form="live", patients=4, polls_until_complete=0, bulk_seconds=4, clock="virtual")
    uuid = start(caller, "/api/patients_list", since="2020-01-01")
    assert [caller.get("/api/patients_list", uuid=uuid).json()["status"] for _ in range(9)] == ["In progress"] * 9
    caller.simulator.clock.advance(4)
    assert caller.get("/api/patients_list", uuid=uuid).json()["status"] == "Complete"


@pytest.mark.parametrize("kind", ["patients", "appointments", "clinical_notes"])
def test_a_live_bulk_list_is_started_and_polled_for_each_page(simulate: Simulate, kind: str) -> None:
    caller = simulate(form="live", patients=40, notes=25, polls_until_complete=2)
    truth = caller.simulator.truth(kind)
    path, found, page, pages = f"/api/{kind}_list", [], 1, 99
    while page <= pages:
        query = {"since": "2020-01-01", "verbose": "true", "order_by": "updated_at", "page_size": 15, "page": page}
        uuid = start(caller, path, **query)
        assert [caller.get(path, uuid=uuid).json()["status"] for _ in range(2)] == ["In progress"] * 2
        body = caller.get(path, uuid=uuid).json()
        assert (body["status"], body["uuid"]) == ("Complete", uuid)
        pages = body["pagination"]["pages"]
        assert body["pagination"] == {"count": len(truth), "pages": -(-len(truth) // 15), "page_size": 15, "page": page}
        found += body["results"]
        page += 1
    assert len(found) == len(truth)
    if kind != "clinical_notes":
        assert [one["updated_at"] for one in found] == sorted(one["updated_at"] for one in truth.values())
    if kind == "patients":
        assert {str(one["id"]): one for one in found} == truth


def test_a_live_bulk_list_omits_the_verbose_fields_by_default(simulate: Simulate) -> None:
    caller = simulate(form="live")
    body = finish(caller, "/api/patients_list", start(caller, "/api/patients_list", since="2020-01-01"))
    assert "primary_insurance" not in body["results"][0]


def test_a_live_get_without_uuid_is_refused(simulate: Simulate) -> None:
    assert simulate(form="live").get("/api/patients_list", since="2024-01-01").status_code == 400


def test_results_are_a_snapshot_of_the_moment_the_list_was_started(simulate: Simulate) -> None:
    caller = simulate(form="live")
    key = next(iter(caller.simulator.truth("patients")))
    uuid = start(caller, "/api/patients_list", verbose="true")
    caller.simulator.change("patients", key, {"city": "Later"})
    caller.simulator.create("patients")
    body = finish(caller, "/api/patients_list", uuid)
    assert len(body["results"]) == 10
    assert "Later" not in {patient["city"] for patient in body["results"]}


def test_a_uuid_expires_after_one_hour(simulate: Simulate) -> None:
    caller = simulate(form="live")
    uuid = start(caller, "/api/patients_list")
    caller.simulator.clock.advance(3599)
    assert finish(caller, "/api/patients_list", uuid)["status"] == "Complete"
    caller.simulator.clock.advance(1)
    expired = caller.get("/api/patients_list", uuid=uuid)
    assert (expired.status_code, expired.json()) == (404, {"detail": "Invalid uuid specified"})
    assert caller.get("/api/appointments_list", uuid=uuid).status_code == 404


def test_the_guides_uuid_variant_is_polled_and_then_has_next(simulate: Simulate) -> None:
    caller = simulate(form="guide-uuid", patients=25)
    uuid = caller.get("/api/patients_list", since="2020-01-01T00:00:00Z", page_size=10).json()["uuid"]
    body = finish(caller, "/api/patients_list", uuid)
    sizes = [len(body["results"])]
    while body["next"]:
        body = caller.get(body["next"]).json()
        sizes.append(len(body["results"]))
    assert sizes == [10, 10, 5]


def test_a_post_starts_a_bulk_list_in_the_guides_forms_too(simulate: Simulate) -> None:
    for form in ("guide", "guide-uuid"):
        caller = simulate(form=form)
        uuid = start(caller, "/api/appointments_list", date_range="2026-01-01/2026-03-31", page_size=3, page=2)
        body = finish(caller, "/api/appointments_list", uuid)
        assert body["pagination"]["page"] == 2
        assert all("2026-01-01" <= visit["scheduled_time"] < "2026-04-01" for visit in body["results"])


def test_an_unbounded_list_or_unknown_order_is_refused_at_the_start(simulate: Simulate) -> None:
    caller = simulate(form="live")
    assert caller.call("POST", "/api/appointments_list").status_code == 400
    refused = caller.call("POST", "/api/patients_list", params={"order_by": "shoe_size"})
    assert refused.json() == {"order_by": ['"shoe_size" is not a valid choice.']}
