"""The control interface."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable

import pytest

from simulator import Config, Simulator
from simulator.messages import Request

from .conftest import Caller

Simulate = Callable[..., Caller]
KINDS = (
    *("patients", "appointments", "clinical_notes", "medications", "problems", "allergies"),
    *("doctors", "offices", "users", "appointment_profiles"),
)


@pytest.mark.parametrize("form", ["guide", "live"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_truth_equals_verbose_reads(simulate: Simulate, form: str, kind: str) -> None:
    caller = simulate(form=form)
    lines = caller.get(f"/control/truth/{kind}")
    assert lines.headers["Content-Type"] == "application/x-ndjson"
    records = [json.loads(line) for line in lines.text.splitlines()]
    assert len(records) == caller.control("GET", "truth")[kind] > 0
    assert records == list(caller.simulator.truth(kind).values())
    for key, record in list(caller.simulator.truth(kind).items())[:5]:
        read = caller.get(f"/api/{kind}/{key}?verbose=true").json()
        if read.get("clinical_note"):
            read["clinical_note"]["pdf"] = read["clinical_note"]["pdf"].split("?")[0]
        assert caller.get(f"/control/truth/{kind}/{key}").json() == record == read


def test_unknown_paths_and_records_are_not_found(simulate: Simulate) -> None:
    caller = simulate()
    for path in ("truth/patients/1", "truth/shoes", "nothing"):
        assert caller.get(f"/control/{path}").status_code == 404
    for path, given in (("change", {"kind": "patients", "id": 1}), ("change", {"kind": "shoes"}), ("lock", {"id": 1})):
        assert caller.call("POST", f"/control/{path}", json=given).status_code == 404


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("change", {"colour": "red"}),
        ("tokens", {"action": "steal"}),
        ("clock", {"advance": -1}),
        ("quota", {"windows": "many"}),
        ("webhook", {"url": "ftp://example.com"}),
        ("webhook/send", {"event": "SHOE_MODIFY"}),
        ("lag", {}),
        ("lag", {"seconds": -1}),
        ("lag", {"seconds": 1, "kind": "shoes"}),
        ("lag", {"seconds": 1, "read": "aloud"}),
        ("visibility", {"hidden": [{"kind": "shoes"}]}),
        ("visibility", {"hidden": [{"kind": "patients", "single": "403"}]}),
        ("visibility", {"doctor": 1}),
        ("paging", {"paging": "scroll"}),
        ("paging", {"paging": "cursor", "order": "newest"}),
    ],
)
def test_invalid_requests_are_refused_with_a_reason(simulate: Simulate, path: str, given: dict[str, object]) -> None:
    refused = simulate().call("POST", f"/control/{path}", json=given)
    assert refused.status_code == 400
    assert refused.json()["error"]


def test_the_given_fields_are_changed_in_the_given_record(simulate: Simulate) -> None:
    caller = simulate()
    key = next(iter(caller.simulator.truth("appointments")))
    changed = caller.control("POST", "change", kind="appointments", id=key, fields={"status": "In Session"})
    assert changed == {"kind": "appointments", "id": int(key), "event": "APPOINTMENT_MODIFY"}
    assert caller.simulator.truth("appointments")[key]["status"] == "In Session"


def test_a_record_is_created_with_the_given_fields_counted_and_deleted(simulate: Simulate) -> None:
    caller = simulate()
    made = caller.control("POST", "create", kind="patients", fields={"first_name": "Nina", "last_name": "Berg"})
    truth = caller.simulator.truth("patients")[str(made["id"])]
    assert truth["chart_id"].startswith("NIBE")
    assert caller.control("GET", "truth")["patients"] == 11
    caller.control("POST", "delete", kind="patients", id=made["id"])
    assert caller.control("GET", "truth")["patients"] == 10


@pytest.mark.parametrize("form", ["guide", "live"])
def test_an_appointment_has_at_most_one_note(simulate: Simulate, form: str) -> None:
    caller = simulate(form=form, notes=1)
    (note,) = caller.simulator.truth("clinical_notes").values()
    again = {"kind": "clinical_notes", "fields": {"appointment": note["appointment"]}}
    assert caller.call("POST", "/control/create", json=again).status_code == 404
    made = caller.control("POST", "create", kind="clinical_notes")["id"]
    assert len(caller.simulator.truth("clinical_notes")) == 2
    assert caller.get(f"/api/clinical_notes/{made}").status_code == 200


@pytest.mark.parametrize("form", ["guide", "live"])
def test_a_note_is_locked_and_unlocked(simulate: Simulate, form: str) -> None:
    caller = simulate(form=form)
    key = str(caller.control("POST", "lock")["id"])

    def is_locked() -> bool:
        note = caller.simulator.truth("clinical_notes")[key]
        if form == "guide":
            return bool(note["locked"])
        shown = caller.simulator.truth("appointments")[key]["clinical_note"]
        assert shown["updated_at"] == "2026-03-10T11:00:00"
        assert shown["locked"] is bool(note["signee"]["locked_by"])
        return bool(shown["locked"])

    assert is_locked()
    caller.control("POST", "lock", id=key, locked=False)
    assert not is_locked()


@pytest.mark.parametrize("touches", [True, False])
def test_a_live_notes_change_moves_its_appointment_if_configured(simulate: Simulate, touches: bool) -> None:
    caller = simulate(form="live", note_touches_appointment=touches)
    key = caller.control("POST", "change", kind="clinical_notes")["id"]
    assert (caller.simulator.truth("appointments")[key]["updated_at"] == "2026-03-10T11:00:00") is touches
    found = caller.get("/api/appointments", since="2026-03-10T11:00:00").json()["results"]
    assert len(found) == int(touches)
    assert len(caller.get("/api/clinical_notes", since="2026-03-10T11:00:00").json()["results"]) == 1


def test_tokens_are_issued_expired_and_revoked(simulate: Simulate) -> None:
    caller = simulate()
    pair = caller.control("POST", "tokens", action="issue", scope="user:read")
    assert pair["scope"] == "user:read"
    caller.use(pair["access_token"])
    assert caller.get("/api/users/current").status_code == 200
    caller.control("POST", "tokens", action="expire")
    assert caller.get("/api/users/current").status_code == 401
    form = {"client_id": "simulator-client", "client_secret": "simulator-secret", "grant_type": "refresh_token"}
    fresh = caller.call("POST", "/o/token/", data={**form, "refresh_token": pair["refresh_token"]})
    assert fresh.status_code == 200
    caller.control("POST", "tokens", action="revoke")
    dead = caller.call("POST", "/o/token/", data={**form, "refresh_token": fresh.json()["refresh_token"]})
    assert dead.status_code == 401


def test_statistics_count_by_endpoint_and_can_be_reset(simulate: Simulate) -> None:
    caller = simulate()
    for key in list(caller.simulator.truth("patients"))[:3]:
        caller.get(f"/api/patients/{key}/")
    caller.call("PATCH", f"/api/patients/{key}", json={})
    caller.get("/api/users/current")
    caller.get("/api/patients/1")
    stats = caller.control("GET", "stats")
    assert stats == {
        "requests": 6,
        "by_status": {"200": 4, "204": 1, "404": 1},
        "by_endpoint": {"GET /api/patients/{id}": 4, "GET /api/users/current": 1, "PATCH /api/patients/{id}": 1},
        "throttled": 0,
        "tokens": {"issued": 1, "refreshed": 0, "dead_refresh_used": 0, "dead_access_used": 0},
        "webhooks": {"made": 0, "sent": 0, "delivered": 0, "failed": 0, "lost": 0, "waiting": 0},
        "changes": 1,
        "writes": 1,
        "created": 0,
    }
    caller.control("POST", "stats/reset")
    assert caller.control("GET", "stats")["requests"] == 0


def test_the_configuration_can_be_read(simulate: Simulate) -> None:
    config = simulate(form="live", seed=7).control("GET", "config")
    assert (config["form"], config["seed"], config["webhook"]["signature"]) == ("live", 7, "token")


def test_only_the_loopback_interface_may_control() -> None:
    simulator = Simulator(Config(patients=1))
    request = Request(method="GET", path="/control/truth", query={}, headers={}, local=False)
    assert simulator.handle(request).status == 403
    simulator.stop()


def test_a_chunked_body_is_read(simulate: Simulate) -> None:
    caller = simulate()
    key = next(iter(caller.simulator.truth("patients")))
    body = (part for part in (b'{"city": ', b'"Dover"}'))
    headers = {"Content-Type": "application/json"}
    assert caller.call("PATCH", f"/api/patients/{key}", data=body, headers=headers).status_code == 204
    assert caller.simulator.truth("patients")[key]["city"] == "Dover"


def test_malformed_http_is_answered_with_400(simulate: Simulate) -> None:
    caller = simulate()
    address = ("127.0.0.1", int(caller.simulator.url.rsplit(":", 1)[1]))
    for sent in (b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: many\r\n\r\n"):
        with socket.create_connection(address, timeout=5) as connection:
            connection.sendall(sent)
            assert b"400" in connection.recv(4096)
    assert caller.get("/control/health").json() == {"ok": True}
