"""Fault injection: the responses, and the matching of rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from .conftest import Caller

Simulate = Callable[..., Caller]


def inject(caller: Caller, fault: str, match: dict[str, Any] | None = None, **rule: Any) -> None:
    caller.control("POST", "faults", rules=[{"match": match or {"path": "/api/"}, "fault": fault, **rule}])


@pytest.mark.parametrize(
    ("fault", "status", "kind", "beginning"),
    [
        ("500", 500, "text/html", "<h1>Server Error (500)</h1>"),
        ("502", 502, "text/html", "<html><head><title>502 Bad Gateway"),
        ("503", 503, "text/html", "<html><head><title>503 Service"),
        ("504", 504, "text/html", "<html><head><title>504 Gateway"),
        ("429", 429, "application/json", '{"detail": "Request was throttled. Expected available in 60.0 seconds."}'),
        ("401", 401, "text/html", "Authorization failed."),
        ("403", 403, "application/json", '{"detail": "You do not have permission to perform this action."}'),
        ("html", 200, "text/html", "<html>"),
        ("garbage", 200, "application/json", '{"results": [{"id": 1, "first_na'),
        ("error_status", 500, "application/json", '{"status": "Error", "uuid": "u-1", "detail": '),
    ],
)
def test_a_fault_replaces_the_response(simulate: Simulate, fault: str, status: int, kind: str, beginning: str) -> None:
    caller = simulate(form="live")
    inject(caller, fault, times=1)
    response = caller.get("/api/patients_list?uuid=u-1")
    assert response.status_code == status
    assert response.headers["Content-Type"].startswith(kind)
    assert response.text.startswith(beginning)
    assert caller.get("/api/doctors").status_code == 200


def test_a_page_can_be_followed_by_changes_that_move_the_records_of_the_next(simulate: Simulate) -> None:
    caller = simulate(paging="offset", patients=30)
    keys = list(caller.simulator.truth("patients"))
    acts = [{"action": "delete", "kind": "patients", "id": keys[3], "webhook": False}]
    inject(caller, "then", {"kind": "patients", "page": 1}, acts=acts, times=1)
    first = caller.get("/api/patients", page_size=10).json()
    second = caller.get(first["next"]).json()
    assert [str(record["id"]) for record in first["results"]] == keys[:10]
    assert [str(record["id"]) for record in second["results"]] == keys[11:21]


@pytest.mark.parametrize("acts", [[], [{"action": "lock"}]])
def test_changes_after_a_page_are_refused_if_they_are_none(simulate: Simulate, acts: list[Any]) -> None:
    caller = simulate()
    with pytest.raises(ValueError, match="act"):
        caller.simulator.faults.set([{"fault": "then", "acts": acts}], replace=True)


@pytest.mark.parametrize("retry_after", [17, "Tue, 10 Mar 2026 15:01:00 GMT"])
def test_an_injected_429_has_the_given_retry_after(simulate: Simulate, retry_after: int | str) -> None:
    caller = simulate()
    inject(caller, "429", retry_after=retry_after)
    assert caller.get("/api/doctors").headers["Retry-After"] == str(retry_after)
    assert caller.simulator.stats()["throttled"] == 1


@pytest.mark.parametrize("fault", ["reset", "timeout", "truncate", "drop_after_write"])
def test_a_broken_connection_affects_only_its_own_request(simulate: Simulate, fault: str) -> None:
    caller = simulate()
    inject(caller, fault, times=1, seconds=0)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)) as caught:
        caller.get("/api/patients")
    assert ("reset by peer" in str(caught.value)) == (fault == "reset")
    assert caller.get("/api/patients").status_code == 200


def test_a_write_can_succeed_without_a_response(simulate: Simulate) -> None:
    caller = simulate()
    key = next(iter(caller.simulator.truth("patients")))
    for fault, city in (("reset", False), ("drop_after_write", True)):
        inject(caller, fault, times=1)
        with pytest.raises(requests.ConnectionError):
            caller.call("PATCH", f"/api/patients/{key}", json={"city": "Dover"})
        assert (caller.simulator.truth("patients")[key]["city"] == "Dover") is city


def new_patient(caller: Caller) -> dict[str, object]:
    return {"gender": "", "doctor": caller.simulator.clinic.doctors[0]["id"], "first_name": "Late"}


def test_a_gateway_can_fail_although_the_record_is_made(simulate: Simulate) -> None:
    caller = simulate()
    inject(caller, "error_after_write", times=1, method="POST")
    assert caller.call("POST", "/api/patients", json=new_patient(caller)).status_code == 502
    assert caller.simulator.stats()["created"] == 1


def test_a_write_can_take_effect_long_after_nobody_waits_for_it(simulate: Simulate) -> None:
    caller = simulate()
    inject(caller, "late_write", times=1, method="POST", seconds=90)
    with pytest.raises(requests.ConnectionError):
        caller.call("POST", "/api/patients", json=new_patient(caller))
    caller.simulator.clock.advance(89)
    assert caller.simulator.stats()["created"] == 0
    caller.simulator.clock.advance(1)
    assert caller.simulator.stats()["created"] == 1


def test_a_slow_response_is_otherwise_correct(simulate: Simulate) -> None:
    caller = simulate()
    inject(caller, "slow", seconds=0.05)
    response = caller.get("/api/doctors")
    assert response.status_code == 200
    assert response.elapsed.total_seconds() >= 0.05


def test_a_rule_matches_by_method_and_target_with_after_and_times(simulate: Simulate) -> None:
    caller = simulate()
    inject(caller, "503", match={"path": r"_list\?.*since", "method": "GET"}, after=1, times=2)
    path = "/api/patients_list?since=2020-01-01"
    assert [caller.get(path).status_code for _ in range(5)] == [200, 503, 503, 200, 200]
    assert caller.call("POST", path).status_code == 201


def test_a_rule_can_apply_for_a_limited_time(simulate: Simulate) -> None:
    caller = simulate()
    inject(caller, "500", between=[10, 20])
    seen = []
    for _ in range(3):
        seen.append(caller.get("/api/doctors").status_code)
        caller.simulator.clock.advance(10)
    assert seen == [200, 500, 200]


def test_probability_is_repeatable(simulate: Simulate) -> None:
    runs = []
    for _ in range(2):
        caller = simulate()
        inject(caller, "500", probability=0.5)
        runs.append([caller.get("/api/doctors").status_code for _ in range(20)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {200, 500}


def test_rules_are_added_replaced_or_removed(simulate: Simulate) -> None:
    caller = simulate()
    inject(caller, "500", match={"path": "/api/doctors"})
    rule = {"fault": "503", "match": {"path": "/api/offices"}}
    assert caller.control("POST", "faults", rules=[rule], replace=False) == {"rules": 2}
    assert [caller.get(f"/api/{name}").status_code for name in ("doctors", "offices")] == [500, 503]
    caller.control("DELETE", "faults")
    assert [caller.get(f"/api/{name}").status_code for name in ("doctors", "offices")] == [200, 200]


def test_the_token_endpoint_can_fail_too(simulate: Simulate) -> None:
    caller = simulate()
    inject(caller, "429", match={"path": "/o/token/", "method": "POST"})
    assert caller.call("POST", "/o/token/").status_code == 429


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"fault": "meteor"},
        {"fault": "500", "pth": "x"},
        {"fault": "500", "path": "("},
        {"fault": "500", "kind": "shoes"},
        {"fault": "500", "read": "aloud"},
        {"fault": "answer", "status": "broken"},
        {"fault": "next"},
        {"fault": "edit"},
    ],
)
def test_an_invalid_rule_is_refused(simulate: Simulate, rule: dict[str, object]) -> None:
    refused = simulate().call("POST", "/control/faults", json={"rules": [rule]})
    assert refused.status_code == 400
    assert refused.json()["error"]
