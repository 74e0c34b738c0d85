"""Single reads and lists in the guide's form and the live form."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

import pytest

from .conftest import Caller, pages

Simulate = Callable[..., Caller]
VERBOSE_ONLY = {"primary_insurance", "custom_demographics", "patient_flags", "referring_doctor"}


@pytest.mark.parametrize("form", ["guide", "live"])
def test_a_verbose_read_equals_the_truth_and_a_plain_read_omits_verbose_fields(simulate: Simulate, form: str) -> None:
    caller = simulate(form=form)
    key, truth = next(iter(caller.simulator.truth("patients").items()))
    assert caller.get(f"/api/patients/{key}", verbose="true").json() == truth
    plain = caller.get(f"/api/patients/{key}").json()
    assert set(truth) >= VERBOSE_ONLY
    assert not set(plain) & VERBOSE_ONLY
    assert plain == {name: truth[name] for name in plain}


@pytest.mark.parametrize(
    "path", ["/api/patients/1", "/api/patients/", "/api/nothing", "/api/patients/1/2", "/elsewhere"]
)
def test_a_path_works_with_and_without_a_trailing_slash(simulate: Simulate, path: str) -> None:
    caller = simulate()
    with_slash, without = caller.get(path.rstrip("/") + "/"), caller.get(path.rstrip("/"))
    assert with_slash.status_code == without.status_code == (200 if path == "/api/patients/" else 404)
    if without.status_code == 404:
        assert without.json() == {"detail": "Not found."}


def test_notes_are_filtered_by_appointment_in_the_guides_form_only(simulate: Simulate) -> None:
    for form, found in (("guide", 1), ("live", 3)):
        caller = simulate(form=form, notes=3)
        visit = next(iter(caller.simulator.truth("clinical_notes").values()))["appointment"]
        assert len(caller.get("/api/clinical_notes", appointment=visit).json()["results"]) == found


def test_the_guides_notes_have_pages_of_5_and_at_most_20(simulate: Simulate) -> None:
    caller = simulate(patients=40, appointments=200, notes=43)
    assert [len(page) for page in pages(caller, "/api/clinical_notes")] == [5] * 8 + [3]
    assert [len(page) for page in pages(caller, "/api/clinical_notes", page_size=500)] == [20, 20, 3]


def test_live_pages_hold_250_records_50_if_verbose_and_20_appointments(simulate: Simulate) -> None:
    caller = simulate(form="live", patients=300, children=0)
    assert [len(page) for page in pages(caller, "/api/patients", page_size=1000)] == [250, 50]
    assert len(pages(caller, "/api/patients", verbose="true")[0]) == 50
    assert len(pages(caller, "/api/appointments", since="2020-01-01")[0]) == 20
    assert len(pages(caller, "/api/appointments", since="2020-01-01", verbose="true")[0]) == 25


def test_all_pages_equal_the_truth_even_if_records_are_added_in_between(simulate: Simulate) -> None:
    caller = simulate(patients=30)
    first = caller.get("/api/patients", page_size=20).json()
    caller.simulator.create("patients")
    second = caller.get(first["next"]).json()
    seen = [patient["id"] for patient in first["results"] + second["results"]]
    assert [str(key) for key in seen] == list(caller.simulator.truth("patients"))


def test_since_is_inclusive_and_accepts_an_offset_in_the_guides_form_only(simulate: Simulate) -> None:
    guide, live = simulate(), simulate(form="live")
    newest = max(patient["updated_at"] for patient in guide.simulator.truth("patients").values())
    assert len(guide.get("/api/patients", since=newest).json()["results"]) == 1
    assert len(live.get("/api/patients", since=newest).json()["results"]) == 1
    assert len(guide.get("/api/patients", since="2020-01-01T00:00:00Z").json()["results"]) == 10
    for since in ("2020-01-01T00:00:00Z", "2020-01-01T00:00:00+00:00", "yesterday"):
        refused = live.get("/api/patients", since=since)
        assert (refused.status_code, refused.json()) == (400, {"since": ["Enter a valid date/time."]})


def test_since_is_read_in_the_zone_of_the_practice(simulate: Simulate) -> None:
    caller = simulate()
    key = caller.simulator.change("patients")["id"]  # at 15:00 UTC
    assert caller.get(f"/api/patients/{key}").json()["updated_at"] == "2026-03-10T11:00:00"
    found = caller.get("/api/patients", since="2026-03-10T11:00:00").json()["results"]
    assert [patient["id"] for patient in found] == [key]
    assert len(caller.get("/api/patients", since="2026-03-10T15:00:00Z").json()["results"]) == 1
    assert caller.get("/api/patients", since="2026-03-10T15:00:01Z").json()["results"] == []


@pytest.mark.parametrize("query", [{}, {"patient": "1"}, {"date_range": "2025-01-01/2026-06-01"}])
def test_an_appointment_list_without_bounds_is_refused_or_empty(simulate: Simulate, query: dict[str, str]) -> None:
    assert simulate().get("/api/appointments", **query).status_code == 400
    lenient = simulate(missing_filter="empty").get("/api/appointments", **query)
    assert (lenient.status_code, lenient.json()["results"]) == (200, [])


def test_a_long_range_wholly_in_the_past_is_accepted(simulate: Simulate) -> None:
    found = simulate().get("/api/appointments", date_range="2025-01-01/2026-03-01").json()["results"]
    assert found
    assert all(visit["scheduled_time"] < "2026-03-02" for visit in found)


def test_appointments_are_filtered_by_day_patient_doctor_and_status(simulate: Simulate) -> None:
    caller = simulate()
    visits = [visit for visit in caller.simulator.truth("appointments").values() if visit["patient"]]
    one = visits[0]
    for query in (
        {"date": one["scheduled_time"][:10]},
        {"since": "2020-01-01", "patient": one["patient"]},
        {"since": "2020-01-01", "doctor": one["doctor"]},
        {"since": "2020-01-01", "status": "Checked In"},
    ):
        ((name, value),) = [(name, value) for name, value in query.items() if name != "since"]
        field = "scheduled_time" if name == "date" else name
        found = [visit["id"] for visit in caller.get("/api/appointments", **query).json()["results"]]
        expected = [
            visit["id"]
            for visit in caller.simulator.truth("appointments").values()
            if str(visit[field]).startswith(str(value))
        ]
        assert found == expected[:20]


def test_deleted_appointments_are_listed_only_with_show_archived(simulate: Simulate) -> None:
    caller = simulate()
    key = caller.simulator.delete()["id"]
    assert caller.get(f"/api/appointments/{key}").status_code == 404
    query = {"since": "2026-03-10"}
    assert caller.get("/api/appointments", **query).json()["results"] == []
    (deleted,) = caller.get("/api/appointments", show_archived="true", **query).json()["results"]
    assert (deleted["id"], deleted["deleted_flag"]) == (key, True)


@pytest.mark.parametrize("kind", ["medications", "problems", "allergies"])
def test_chart_entries_are_listed_by_patient_and_read_singly(simulate: Simulate, kind: str) -> None:
    caller = simulate()
    key, child = next(iter(caller.simulator.truth(kind).items()))
    expected = [one for one in caller.simulator.truth(kind).values() if one["patient"] == child["patient"]]
    assert pages(caller, f"/api/{kind}", patient=child["patient"], page_size=1) == [[one] for one in expected]
    assert caller.get(f"/api/{kind}/{key}", verbose="true").json() == child
    assert caller.get(f"/api/{kind}", since="2099-01-01").json()["results"] != []  # these kinds have no such filter


def test_the_signature_of_a_pdf_link_differs_from_read_to_read(simulate: Simulate) -> None:
    caller = simulate(form="live")
    key = next(iter(caller.simulator.truth("clinical_notes")))
    links = {caller.get(f"/api/appointments/{key}?verbose=true").json()["clinical_note"]["pdf"] for _ in range(3)}
    assert len(links) == 3
    assert len({link.split("?Signature=")[0] for link in links}) == 1


def test_the_current_user_is_answered_or_redirected_to(simulate: Simulate) -> None:
    assert simulate().get("/api/users/current").json()["username"] == "simulated"
    live = simulate(form="live")
    redirect = live.get("/api/users/current")
    assert redirect.status_code == 302
    assert live.get(redirect.headers["Location"]).json()["username"] == "simulated"
    assert live.get("/api/doctors").json()["results"][0]["timezone"] == "US/Eastern"


def test_the_results_key_and_the_origin_of_links_can_be_configured(simulate: Simulate) -> None:
    caller = simulate(results_key="data", link_origin="https://app.drchrono.com")
    body = caller.get("/api/patients", page_size=3).json()
    assert len(body["data"]) == 3
    assert body["next"].startswith("https://app.drchrono.com/api/patients?page_size=3&cursor=")


@pytest.mark.parametrize("form", ["guide", "live"])
def test_updated_at_can_be_written_in_another_zone_than_since_is_read_in(simulate: Simulate, form: str) -> None:
    caller = simulate(form=form, updated_at_shift_hours=-3, updated_at_shift_hours_of={"appointments": 2})
    changed = caller.simulator.change("patients")["id"]  # at 11:00 in the practice
    caller.simulator.change("appointments")
    assert caller.get(f"/api/patients/{changed}").json()["updated_at"] == "2026-03-10T08:00:00"
    for kind, shown in (("patients", "2026-03-10T08:00:00"), ("appointments", "2026-03-10T13:00:00")):
        (record,) = caller.get(f"/api/{kind}", since="2026-03-10T11:00:00").json()["results"]
        assert record["updated_at"] == shown
        assert caller.get(f"/api/{kind}", since="2026-03-10T11:00:01").json()["results"] == []


@pytest.mark.parametrize("form", ["guide", "live"])
def test_since_can_be_read_later_than_updated_at_is_written(simulate: Simulate, form: str) -> None:
    caller = simulate(form=form, since_shift_hours=3)
    changed = caller.simulator.change("patients")["id"]  # at 11:00 in the practice
    assert caller.get(f"/api/patients/{changed}").json()["updated_at"] == "2026-03-10T11:00:00"
    (record,) = caller.get("/api/patients", since="2026-03-10T08:00:00").json()["results"]
    assert record["id"] == changed
    assert caller.get("/api/patients", since="2026-03-10T08:00:01").json()["results"] == []


def test_appointments_can_have_dates_that_no_range_holds(simulate: Simulate) -> None:
    caller = simulate(form="live", appointments=10, odd_appointments=4)
    odd = {"2004-05-06T09:00:00", "2041-05-06T09:00:00", "", None}
    assert odd <= {visit["scheduled_time"] for visit in caller.simulator.truth("appointments").values()}
    shown = caller.get("/api/appointments", since="2020-01-01").json()["results"]
    assert odd <= {visit["scheduled_time"] for visit in shown}
    inside = caller.get("/api/appointments", date_range="2026-01-01/2026-06-01").json()["results"]
    assert not odd & {visit["scheduled_time"] for visit in inside}


def test_the_clock_can_start_at_any_instant(simulate: Simulate) -> None:
    # The night in which US/Eastern repeats an hour: local times go back, instants do not.
    caller = simulate(start=datetime(2026, 11, 1, 5, 59, tzinfo=timezone.utc))
    before = caller.simulator.change("patients")["id"]
    caller.simulator.clock.advance(120)
    after = caller.simulator.change("patients", fields={"city": "Trenton"})["id"]
    assert caller.simulator.truth("patients")[str(after)]["updated_at"] == "2026-11-01T01:01:00"
    if before != after:
        assert caller.simulator.truth("patients")[str(before)]["updated_at"] == "2026-11-01T01:59:00"
