"""Read lag: each endpoint can show an older state."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .conftest import Caller, bulk

Simulate = Callable[..., Caller]
PATHS = {"single": "/api/{kind}/{key}", "list": "/api/{kind}", "bulk": "/api/{kind}_list"}


def notes(caller: Caller, read: str, kind: str, key: str) -> str:
    """Return the field `notes` (patients: `city`) of a record as the given read shows it."""
    query = {"since": "2020-01-01", "page_size": 1000}
    if read == "single":
        record = caller.get(f"/api/{kind}/{key}").json()
    else:
        found = (
            bulk(caller, f"/api/{kind}_list", **query)
            if read == "bulk"
            else caller.get(f"/api/{kind}", **query).json()["results"]
        )
        (record,) = [one for one in found if str(one["id"]) == key]
    return str(record["city" if kind == "patients" else "notes"])


def test_a_lagging_read_shows_old_versions_and_no_new_records(simulate: Simulate) -> None:
    caller = simulate(lag_seconds=5)
    simulator = caller.simulator
    changed = simulator.change("patients", fields={"city": "Albany Park"})["id"]
    made = simulator.create("patients")["id"]
    simulator.clock.advance(4)
    assert caller.get(f"/api/patients/{changed}").json()["city"] != "Albany Park"
    assert caller.get(f"/api/patients/{made}").status_code == 404
    assert len(caller.get("/api/patients").json()["results"]) == 10
    simulator.clock.advance(1)
    assert caller.get(f"/api/patients/{changed}").json()["city"] == "Albany Park"
    assert caller.get(f"/api/patients/{made}").status_code == 200
    assert len(caller.get("/api/patients").json()["results"]) == 11


def test_a_lagging_read_still_shows_a_deleted_record(simulate: Simulate) -> None:
    caller = simulate(lag_seconds=5)
    key = caller.simulator.delete("patients")["id"]
    assert caller.get(f"/api/patients/{key}").status_code == 200
    assert len(caller.get("/api/patients").json()["results"]) == 10
    caller.simulator.clock.advance(5)
    assert caller.get(f"/api/patients/{key}").status_code == 404


@pytest.mark.parametrize("form", ["guide", "live"])
@pytest.mark.parametrize("lagging", ["single", "list", "bulk"])
def test_each_read_of_each_kind_lags_by_itself(simulate: Simulate, form: str, lagging: str) -> None:
    caller = simulate(form=form, appointments=15, notes=0)
    keys = {kind: next(iter(caller.simulator.truth(kind))) for kind in ("patients", "appointments")}
    caller.control("POST", "lag", seconds=60, kind="patients", read=lagging)
    for kind, field in (("patients", "city"), ("appointments", "notes")):
        caller.simulator.change(kind, keys[kind], {field: "new"})
    for read in PATHS:
        assert notes(caller, read, "appointments", keys["appointments"]) == "new"
        assert (notes(caller, read, "patients", keys["patients"]) == "new") is (read != lagging)
    caller.simulator.clock.advance(60)
    assert notes(caller, lagging, "patients", keys["patients"]) == "new"


def test_chart_entries_and_staff_can_lag(simulate: Simulate) -> None:
    caller = simulate()
    for kind, field in (("problems", "notes"), ("doctors", "website")):
        caller.control("POST", "lag", seconds=60, kind=kind, read="list")
        key = caller.simulator.change(kind, fields={field: "new"})["id"]
        assert "new" not in {one[field] for one in caller.get(f"/api/{kind}").json()["results"]}
        assert caller.get(f"/api/{kind}/{key}").json()[field] == "new"


def test_since_is_compared_with_the_version_that_the_list_shows(simulate: Simulate) -> None:
    caller = simulate(lag_seconds=60)
    caller.simulator.change("patients")
    assert caller.get("/api/patients", since="2026-03-10T11:00:00").json()["results"] == []
    caller.simulator.clock.advance(60)
    assert len(caller.get("/api/patients", since="2026-03-10T11:00:00").json()["results"]) == 1


def test_a_busy_record_shows_the_version_of_exactly_the_lag_ago(simulate: Simulate) -> None:
    caller = simulate(lag_seconds=600, token_seconds=86_400)
    key = next(iter(caller.simulator.truth("patients")))
    for minute in range(120):
        caller.simulator.change("patients", key, {"city": f"minute {minute}"})
        caller.simulator.clock.advance(60)
    assert caller.get(f"/api/patients/{key}").json()["city"] == "minute 110"


def test_lag_is_configured_by_endpoint_and_changed_at_run_time(simulate: Simulate) -> None:
    caller = simulate(lag_seconds=1, lag={"list": 2, "patients": 3, "patients/bulk": 4})
    lag = caller.control("GET", "lag")
    assert lag["patients"] == {"single": 3, "list": 3, "bulk": 4}
    assert lag["appointments"] == {"single": 1, "list": 2, "bulk": 1}
    caller.control("POST", "lag", seconds=0)
    assert all(set(reads.values()) == {0} for reads in caller.control("GET", "lag").values())
    caller.simulator.lag.set(7, kind="problems")
    assert caller.control("GET", "lag")["problems"] == {"single": 7, "list": 7, "bulk": 7}


def test_a_record_that_moved_to_another_patient_is_listed_there(simulate: Simulate) -> None:
    caller = simulate(lag={"medications/single": 0})
    first, second = list(caller.simulator.truth("patients"))[:2]
    key = caller.simulator.create("medications", {"patient": int(first)})["id"]

    def listed(patient: str) -> bool:
        return key in [one["id"] for one in caller.get("/api/medications", patient=patient).json()["results"]]

    assert (listed(first), listed(second)) == (True, False)
    caller.simulator.clock.advance(10)
    caller.simulator.change("medications", key, {"patient": int(second)})
    assert (listed(first), listed(second)) == (False, True)
    caller.control("POST", "lag", seconds=5)
    assert (listed(first), listed(second)) == (True, False)
