"""Faults of endpoints, records and pages that last forever, and broken lists."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from .conftest import Caller, bulk, pages

Simulate = Callable[..., Caller]


def inject(caller: Caller, fault: str, match: dict[str, Any], **rule: Any) -> None:
    caller.control("POST", "faults", rules=[{"match": match, "fault": fault, **rule}])


@pytest.mark.parametrize("form", ["guide", "live"])
@pytest.mark.parametrize("read", ["single", "list", "bulk"])
def test_one_read_of_one_kind_fails_forever(simulate: Simulate, form: str, read: str) -> None:
    caller = simulate(form=form, faults=[{"match": {"kind": "patients", "read": read}, "fault": "500"}])
    key = next(iter(caller.simulator.truth("patients")))
    visit = next(iter(caller.simulator.truth("appointments")))
    for _ in range(3):
        statuses = {
            "single": caller.get(f"/api/patients/{key}").status_code,
            "list": caller.get("/api/patients").status_code,
            "bulk": caller.call("POST", "/api/patients_list").status_code,
        }
        assert statuses == {"single": 200, "list": 200, "bulk": 201} | {read: 500}
    assert caller.get(f"/api/appointments/{visit}").status_code == 200


@pytest.mark.parametrize(
    ("status", "body", "content_type", "sent"),
    [
        (500, None, "application/json", "null"),
        (502, "<h1>Bad Gateway</h1>", "text/html; charset=utf-8", "<h1>Bad Gateway</h1>"),
        (401, {"detail": "No."}, "application/json", '{"detail": "No."}'),
        (403, {"detail": "Not yours."}, "application/json", '{"detail": "Not yours."}'),
        (404, "gone for good", "text/html; charset=utf-8", "gone for good"),
        (200, [1, 2], "application/json", "[1, 2]"),
        (200, 5, "application/json", "5"),
        (200, {"results": {}}, "application/json", '{"results": {}}'),
    ],
)
def test_an_answer_can_be_chosen(simulate: Simulate, status: int, body: object, content_type: str, sent: str) -> None:
    caller = simulate()
    inject(caller, "answer", {"kind": "problems"}, status=status, body=body)
    response = caller.get("/api/problems")
    assert (response.status_code, response.text) == (status, sent)
    assert response.headers["Content-Type"] == content_type


def test_the_content_type_of_an_answer_can_be_chosen(simulate: Simulate) -> None:
    caller = simulate()
    inject(caller, "answer", {"kind": "problems"}, status=200, body='"text"', content_type="application/json")
    assert caller.get("/api/problems").json() == "text"


@pytest.mark.parametrize("form", ["guide", "live"])
def test_a_record_fails_in_single_reads_and_in_the_pages_that_contain_it(simulate: Simulate, form: str) -> None:
    caller = simulate(form=form, patients=30)
    keys = list(caller.simulator.truth("patients"))
    inject(caller, "500", {"kind": "patients", "id": int(keys[15])})
    assert caller.get(f"/api/patients/{keys[15]}").status_code == 500
    assert caller.get(f"/api/patients/{keys[14]}").status_code == 200
    first = caller.get("/api/patients", page_size=10)
    assert first.status_code == 200
    for _ in range(3):
        assert caller.get(first.json()["next"]).status_code == 500
    if form == "live":
        started = caller.call("POST", "/api/patients_list")
        assert started.status_code == 201
        polls = [caller.get("/api/patients_list", uuid=started.json()["uuid"]).status_code for _ in range(3)]
        assert polls == [200, 500, 500]
    inject(caller, "answer", {"kind": "patients", "id": keys[15], "read": "single"}, status=404, body={})
    assert caller.get(f"/api/patients/{keys[15]}").status_code == 404
    assert len([one for page in pages(caller, "/api/patients", page_size=10) for one in page]) == 30


def test_a_live_note_is_matched_by_its_appointment(simulate: Simulate) -> None:
    caller = simulate(form="live")
    key = next(iter(caller.simulator.truth("clinical_notes")))
    inject(caller, "500", {"kind": "clinical_notes", "id": key})
    assert caller.get(f"/api/clinical_notes/{key}").status_code == 500
    assert caller.get("/api/clinical_notes").status_code == 500
    assert caller.get(f"/api/appointments/{key}").status_code == 200


@pytest.mark.parametrize("form", ["guide", "live"])
def test_one_page_of_a_plain_list_fails(simulate: Simulate, form: str) -> None:
    for paging in ("cursor", "offset"):
        caller = simulate(form=form, patients=30, paging=paging)
        url = caller.get("/api/patients", page_size=10).json()["next"]
        inject(caller, "answer", {"kind": "patients", "page": 2}, status=404, body={"detail": "Invalid page."})
        refused = caller.get(url)
        assert (refused.status_code, refused.json()) == (404, {"detail": "Invalid page."})
        inject(caller, "answer", {"kind": "patients", "page": 3}, status=404)
        assert caller.get(caller.get(url).json()["next"]).status_code == 404


def test_one_page_of_a_bulk_list_fails(simulate: Simulate) -> None:
    live, guide = simulate(form="live", patients=30), simulate(form="guide-uuid", patients=30)
    inject(live, "malformed", {"kind": "patients", "read": "bulk", "page": 2, "method": "GET"})
    assert len(bulk(live, "/api/patients_list", page_size=10, page=1)) == 10
    with pytest.raises(requests.exceptions.JSONDecodeError):
        bulk(live, "/api/patients_list", page_size=10, page=2)
    inject(live, "500", {"kind": "patients", "read": "bulk", "page": 2})
    assert live.call("POST", "/api/patients_list", params={"page": 1}).status_code == 201
    assert live.call("POST", "/api/patients_list", params={"page": 2}).status_code == 500
    inject(guide, "500", {"kind": "patients", "read": "bulk", "page": 2})
    uuid = guide.get("/api/patients_list", page_size=10).json()["uuid"]
    guide.get("/api/patients_list", uuid=uuid)
    following = guide.get("/api/patients_list", uuid=uuid).json()["next"]
    assert guide.get(following).status_code == 500


def test_malformed_json_has_its_full_length(simulate: Simulate) -> None:
    caller = simulate()
    inject(caller, "malformed", {"kind": "doctors"})
    response = caller.get("/api/doctors")
    assert response.status_code == 200
    assert len(response.content) == int(response.headers["Content-Length"])
    with pytest.raises(json.JSONDecodeError):
        json.loads(response.text)


def test_a_dripping_body_follows_its_headers_slowly_and_completely(simulate: Simulate) -> None:
    caller = simulate()
    expected = caller.get("/api/doctors").json()
    inject(caller, "drip", {"kind": "doctors"}, seconds=0.4)
    began = time.monotonic()
    response = caller.call("GET", "/api/doctors", stream=True)
    headers_after = time.monotonic() - began
    body = b"".join(response.iter_content(None))
    assert headers_after < 0.3
    assert time.monotonic() - began >= 0.39
    assert json.loads(body) == expected


def test_wide_lists_time_out_while_lists_by_doctor_work(simulate: Simulate) -> None:
    caller = simulate(form="live")
    inject(caller, "504", {"kind": "medications", "wide": True})
    key, child = next(iter(caller.simulator.truth("medications").items()))
    assert caller.get("/api/medications").status_code == 504
    assert caller.get("/api/medications", page_size=10).status_code == 504
    assert caller.get("/api/medications", doctor=child["doctor"]).status_code == 200
    assert caller.get("/api/medications", patient=child["patient"]).status_code == 200
    assert caller.get(f"/api/medications/{key}").status_code == 200
    assert caller.get("/api/problems").status_code == 200


def test_large_pages_time_out_while_small_ones_work(simulate: Simulate) -> None:
    caller = simulate(form="live")
    inject(caller, "504", {"kind": "medications", "wide": True, "min_page_size": 50})
    statuses = [
        caller.get("/api/medications", **query).status_code for query in ({}, {"page_size": 50}, {"page_size": 49})
    ]
    assert statuses == [504, 504, 200]


def test_links_go_in_circles(simulate: Simulate) -> None:
    caller = simulate(patients=30)
    first = caller.get("/api/patients", page_size=10).json()
    inject(caller, "next", {"kind": "patients", "page": 2}, link="first")
    second = caller.get(first["next"]).json()
    assert second["results"] != first["results"]
    assert caller.get(second["next"]).json() == first
    inject(caller, "next", {"kind": "patients", "page": 1}, link="self")
    following = caller.get("/api/patients", page_size=10).json()["next"]
    assert caller.get(following).json()["next"] == following


def test_links_lead_to_a_foreign_host_or_end_early(simulate: Simulate) -> None:
    caller = simulate(patients=30)
    following = caller.get("/api/patients", page_size=10).json()["next"]
    inject(caller, "next", {"kind": "patients"}, origin="https://evil.example")
    assert caller.get("/api/patients", page_size=10).json()["next"] == following.replace(
        caller.simulator.url, "https://evil.example"
    )
    assert caller.get("/api/patients").json()["next"] is None
    inject(caller, "next", {"kind": "patients"}, link="https://evil.example/x")
    assert caller.get("/api/patients").json()["next"] == "https://evil.example/x"
    inject(caller, "next", {"kind": "patients"}, link="none")
    assert caller.get("/api/patients", page_size=10).json()["next"] is None


def test_fields_of_a_body_or_of_one_record_in_a_list_are_replaced(simulate: Simulate) -> None:
    caller = simulate()
    keys = list(caller.simulator.truth("patients"))
    inject(caller, "edit", {"kind": "patients", "id": keys[3]}, fields={"email": 7})
    assert caller.get(f"/api/patients/{keys[3]}").json()["email"] == 7
    emails = {str(one["id"]): one["email"] for one in caller.get("/api/patients").json()["results"]}
    assert [key for key, email in emails.items() if email == 7] == [keys[3]]
    inject(caller, "edit", {"kind": "patients", "read": "list"}, fields={"results": "none"})
    assert caller.get("/api/patients").json()["results"] == "none"


def test_rules_and_their_counts_can_be_read(simulate: Simulate) -> None:
    caller = simulate()
    inject(caller, "503", {"kind": "doctors"}, times=1)
    for _ in range(2):
        caller.get("/api/doctors")
    assert caller.control("GET", "faults") == {
        "rules": [
            {
                "fault": "503",
                "match": {"kind": "doctors"},
                "times": 1,
                "set_at": caller.simulator.clock.now(),
                "matched": 1,
                "applied": 1,
            }
        ]
    }
