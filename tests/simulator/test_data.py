"""The generated records: complete, linked, repeatable, and with the fields of the configured form."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from simulator import Config, Simulator

from .conftest import Caller

GUIDE_STATUSES = {
    *("", "Arrived", "Checked In", "In Room", "Cancelled", "Complete"),
    *("Confirmed", "In Session", "No Show", "Not Confirmed", "Rescheduled"),
}


def made(**settings: object) -> Simulator:
    """Return a simulator that is not started, to inspect its records."""
    simulator = Simulator(Config(**{"patients": 60, "clock": "virtual", **settings}))  # type: ignore[arg-type]
    simulator.stop()
    return simulator


def test_the_same_seed_makes_the_same_records() -> None:
    first, second, other = made(), made(), made(seed=2)
    for kind in ("patients", "appointments", "clinical_notes", "medications", "problems", "allergies"):
        assert first.truth(kind) == second.truth(kind) != other.truth(kind)


@pytest.mark.parametrize("form", ["guide", "live"])
def test_every_reference_leads_to_a_record(form: str) -> None:
    simulator = made(form=form)
    patients, visits = simulator.truth("patients"), simulator.truth("appointments")
    doctors = {doctor["id"] for doctor in simulator.clinic.doctors}
    offices = {office["id"] for office in simulator.clinic.offices}
    for visit in visits.values():
        assert visit["patient"] is None or str(visit["patient"]) in patients
        assert visit["doctor"] in doctors
        assert visit["office"] in offices
    for note in simulator.truth("clinical_notes").values():
        assert str(note["patient"]) == str(visits[str(note["appointment"])]["patient"])
    for kind in ("medications", "problems", "allergies"):
        assert simulator.truth(kind)
        assert all(str(child["patient"]) in patients for child in simulator.truth(kind).values())


@pytest.mark.parametrize("form", ["guide", "live"])
def test_any_appointment_of_a_patient_can_have_a_note(form: str) -> None:
    simulator = made(form=form, patients=1, appointments=0, notes=0, odd_appointments=4)
    visits = simulator.truth("appointments")
    for visit in visits:
        simulator.clinic.create("clinical_notes", {"appointment": visit})
    assert len(simulator.truth("clinical_notes")) == len(visits) == 4


def test_every_status_of_the_guide_occurs_and_some_appointments_are_breaks() -> None:
    visits = list(made().truth("appointments").values())
    assert {visit["status"] for visit in visits} == GUIDE_STATUSES
    breaks = [visit for visit in visits if visit["appt_is_break"]]
    assert breaks
    assert all(visit["patient"] is None for visit in breaks)


def test_appointments_are_past_and_future_and_their_last_change_is_past() -> None:
    visits = list(made().truth("appointments").values())
    times = [visit["scheduled_time"] for visit in visits]
    assert min(times) < "2026-03-10T11:00:00" < max(times)  # 15:00 UTC in US/Eastern, in summer time since the 8th
    assert all(visit["created_at"] <= visit["updated_at"] < "2026-03-10T11:00:00" for visit in visits)


def test_chart_ids_have_drchronos_format() -> None:
    chart_ids = [patient["chart_id"] for patient in made().truth("patients").values()]
    assert all(re.fullmatch(r"[A-Z]{4}\d{6}", chart_id) for chart_id in chart_ids)
    assert len(set(chart_ids)) == len(chart_ids)


def test_the_guides_notes_have_ids_sections_and_a_lock() -> None:
    simulator = made()
    key, note = next(iter(simulator.truth("clinical_notes").items()))
    assert key == str(note["id"])
    assert isinstance(note["appointment"], int)
    assert isinstance(note["locked"], bool)
    assert isinstance(note["sections"]["HPI"], str)
    assert "clinical_note" not in next(iter(simulator.truth("appointments").values()))


def test_live_notes_have_no_id_and_their_lock_is_shown_on_the_appointment() -> None:
    simulator = made(form="live")
    key, note = next(iter(simulator.truth("clinical_notes").items()))
    assert set(note) == {"appointment", "patient", "archived", "signee", "clinical_note_sections"}
    assert note["appointment"] == key
    shown = simulator.truth("appointments")[key]["clinical_note"]
    assert shown["locked"] == (note["signee"]["locked_by"] is not None)
    assert shown["pdf"] == f"https://notes.drchrono.example/{key}.pdf"


def test_live_appointment_ids_are_text_and_some_name_an_occurrence_of_a_series() -> None:
    keys = [visit["id"] for visit in made(form="live").truth("appointments").values()]
    assert all(isinstance(key, str) for key in keys)
    assert any(re.fullmatch(r"\d+_\d{4}-\d\d-\d\d", key) for key in keys)
    assert all(isinstance(visit["id"], int) for visit in made().truth("appointments").values())


def test_medications_problems_and_allergies_have_no_updated_at() -> None:
    for kind in ("medications", "problems", "allergies"):
        assert all("updated_at" not in child for child in made().truth(kind).values())


def test_the_guides_medications_have_its_field_names_and_the_real_ones() -> None:
    guide = next(iter(made().truth("medications").values()))
    live = next(iter(made(form="live").truth("medications").values()))
    assert {"dose", "dispense_as_written", "dosage_quantity", "daw"} <= set(guide)
    assert not {"dose", "dispense_as_written"} & set(live)


def test_the_numbers_of_records_are_as_configured(simulate: Callable[..., Caller]) -> None:
    truth = simulate(patients=30, appointments=200, notes=12, children=0).control("GET", "truth")
    assert truth == {
        "patients": 30,
        "appointments": 200,
        "clinical_notes": 12,
        "medications": 0,
        "problems": 0,
        "allergies": 0,
        "doctors": 3,
        "offices": 2,
        "users": 4,
        "appointment_profiles": 2,
    }


def test_an_empty_practice_works(simulate: Callable[..., Caller]) -> None:
    caller = simulate(patients=0)
    assert caller.get("/api/patients").json() == {"previous": None, "results": [], "next": None}
    doctor = caller.get("/api/doctors").json()["results"][0]["id"]
    assert caller.call("POST", "/api/patients", json={"gender": "", "doctor": doctor}).status_code == 201
