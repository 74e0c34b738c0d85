"""Whose records the copy holds: asked once a day, and nothing granted that DrChrono does not state."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest

from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.drchrono.permissions import Statement
from shared.jobs import backfill
from shared.jobs.run import Run
from shared.jobs.sync import sync
from shared.records.coverage import STATE, STATEMENTS_TRUSTED, Coverage, coverage_of
from simulator import Simulator
from tests.clinic import Clinic, simulator
from workstation.authorization import READ_SCOPES, WRITE_SCOPES

GRANTED, MISSING, UNKNOWN = Statement.GRANTED, Statement.MISSING, Statement.UNKNOWN
FORMS = pytest.mark.parametrize("form", ["guide", "live"])
SHARED = [name for name, kind in KINDS.items() if kind.practice_access == "share_patients"]


def clinic_of(running: Simulator, documents: Documents, scopes: str = " ".join(READ_SCOPES + WRITE_SCOPES)) -> Clinic:
    return Clinic(running, documents, scopes=scopes)


def start(run: Run) -> None:
    backfill.start(run.parts, backfill.KIND_NAMES, date(2009, 1, 1))
    backfill.go_on(run)


def of(clinic: Clinic, kind: str) -> Coverage:
    return clinic.coverage.of(KINDS[kind])


def asked(clinic: Clinic) -> int:
    return int(clinic.simulator.stats()["by_endpoint"].get("GET /api/users/current", 0))


def allow(running: Simulator, **permissions: Any) -> None:
    """Of the user who authorized."""
    user = min(running.truth("users"))
    stated = running.truth("users")[user]["permissions"]
    changed = {name.replace("_", "-") if name != "share_patients" else name: said for name, said in permissions.items()}
    running.change("users", user, {"permissions": {**stated, **changed}}, webhook=False)


@FORMS
def test_a_user_who_sees_the_whole_practice(documents: Documents, form: str) -> None:
    with simulator(form=form, permissions_show_sharing=True, patients=30) as running:
        clinic = clinic_of(running, documents)
        clinic.run(start)
        clinic.run(sync)
        found = of(clinic, "patients")
        assert (found.verdict, found.doctors_seen, found.doctors) == (GRANTED, 3, 3)
        assert found.user == min(running.truth("users"))
        assert {of(clinic, kind).verdict for kind in SHARED} == {GRANTED}
        assert {of(clinic, kind).verdict for kind in ("doctors", "offices", "users")} == {GRANTED}
        # The simulator's users, like perhaps DrChrono's, say nothing of this one.
        assert of(clinic, "appointment_profiles").needs["share_appointment_profiles"] is UNKNOWN


@FORMS
@pytest.mark.parametrize("stated", [True, False])
def test_a_user_without_share_patients_has_the_records_of_one_doctor(
    documents: Documents, form: str, stated: bool
) -> None:
    with simulator(form=form, share_patients=False, permissions_show_sharing=stated, patients=30) as running:
        clinic = clinic_of(running, documents)
        clinic.run(start)
        clinic.run(sync)
        for kind in ("patients", "appointments"):
            found = of(clinic, kind)
            assert found.needs["share_patients"] is (MISSING if stated else UNKNOWN)
            assert found.verdict is (MISSING if stated else UNKNOWN)
            assert (found.doctors_seen, found.doctors) == (1, 3)
        # Live notes name no doctor: nothing is said of them, and not that they are of none.
        assert of(clinic, "clinical_notes").doctors_seen == (None if form == "live" else 1)


@FORMS
def test_missing_permissions_and_scopes_are_those_of_the_kinds_that_need_them(embedded: Documents, form: str) -> None:
    with simulator(form=form, patients=2) as running:
        allow(running, clinical_notes=False, scheduling=True)
        clinic = clinic_of(running, embedded, scopes="patients:read user:read clinical:read")
        clinic.run(sync)
        missing = {kind: [name for name, said in of(clinic, kind).needs.items() if said is MISSING] for kind in KINDS}
        assert missing == {
            "patients": [],
            "appointments": ["calendar:read", "clinical-notes"],
            "clinical_notes": ["clinical-notes"],
            **{kind: ["clinical-notes"] for kind in ("medications", "problems", "allergies")},
            **{kind: [] for kind in ("doctors", "offices", "users")},
            "appointment_profiles": ["calendar:read"],
        }


@FORMS
def test_it_is_asked_once_a_day_and_follows_what_was_changed(embedded: Documents, form: str) -> None:
    with simulator(form=form, token_seconds=10**8, patients=2) as running:
        clinic = clinic_of(running, embedded)
        for _ in range(10):
            clinic.run(sync)
            clinic.later(hours=2)
        assert asked(clinic) == 1
        assert of(clinic, "patients").needs["manage-patients"] is GRANTED
        allow(running, manage_patients=False)
        clinic.later(hours=5)
        clinic.run(sync)
        assert asked(clinic) == 2
        assert of(clinic, "patients").verdict is MISSING


@FORMS
@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_user_that_cannot_be_asked_stops_nothing_and_what_was_said_ages(
    embedded: Documents, form: str, status: int
) -> None:
    with simulator(form=form, token_seconds=10**8, permissions_show_sharing=True, patients=2) as running:
        clinic = clinic_of(running, embedded)
        clinic.run(sync)
        assert of(clinic, "patients").verdict is GRANTED
        user = min(running.truth("users"))
        refused = [
            {"match": {"path": f"/api/users/{which}"}, "fault": "answer", "status": status}
            for which in ("current", user)
        ]
        running.faults.set(refused, replace=True)
        clinic.later(hours=25)
        run = clinic.run(sync)
        assert run.unfinished == {}
        assert clinic.positions.get("patients").synced_at == run.parts.checkpoints.get("patients").synced_at
        assert clinic.coverage.state()["problem"]["reason"] in ("forbidden", "not_found", "server_error")
        assert of(clinic, "patients").verdict is GRANTED
        before = clinic.requests()
        clinic.run(sync)
        assert clinic.requests() - before < 5  # not asked again at once
        clinic.later(seconds=STATEMENTS_TRUSTED.total_seconds())
        clinic.run(sync)
        assert of(clinic, "patients").verdict is UNKNOWN
        running.faults.set([], replace=True)
        clinic.later(hours=2)
        clinic.run(sync)
        assert of(clinic, "patients").verdict is GRANTED
        assert clinic.coverage.state()["problem"] is None


def test_the_doctors_are_counted_in_each_run_until_the_backfill_is_done_and_then_once_a_day(
    embedded: Documents,
) -> None:
    with simulator(patients=30) as running:
        clinic = clinic_of(running, embedded)
        clinic.run(sync)
        counted_at = clinic.coverage.state()["counted_at"]
        clinic.later(minutes=5)
        clinic.run(start)
        clinic.run(sync)
        state = clinic.coverage.state()
        assert state["counted_at"] > counted_at
        assert (state["whole"], of(clinic, "patients").doctors_seen) == (True, 3)
        clinic.later(hours=3)
        clinic.run(sync)
        assert clinic.coverage.state()["counted_at"] == state["counted_at"]


def test_a_new_doctor_without_patients_shows(embedded: Documents) -> None:
    with simulator(patients=30) as running:
        clinic = clinic_of(running, embedded)
        clinic.run(start)
        clinic.run(sync)
        running.create("doctors", webhook=False)
        clinic.later(hours=25)
        clinic.run(sync)
        assert (of(clinic, "patients").doctors_seen, of(clinic, "patients").doctors) == (3, 4)


NOON = datetime(2026, 3, 10, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    "state",
    [
        None,
        {},
        {"asked_at": "today", "needs": {"patients": {"patients:read": "granted"}}},
        {"asked_at": NOON.replace(tzinfo=None), "needs": {"patients": {"patients:read": "granted"}}},
        {"asked_at": NOON, "needs": ["granted"]},
        {"asked_at": NOON, "needs": {"patients": "granted"}},
        {"asked_at": NOON, "needs": {"patients": {"patients:read": True, "share_patients": ["granted"]}}},
        {"asked_at": NOON - timedelta(days=3), "needs": {"patients": {"patients:read": "granted"}}},
        {"asked_at": NOON, "user": 7, "seen": 5, "doctors": "6"},
    ],
)
def test_a_state_that_cannot_be_read_or_is_old_claims_nothing(state: dict[str, Any] | None) -> None:
    found = coverage_of(KINDS["patients"], state, NOON)
    assert set(found.needs) == {"patients:read", "manage-patients", "share_patients"}
    assert set(found.needs.values()) == {UNKNOWN}
    assert found.verdict is UNKNOWN
    assert (found.user, found.doctors_seen, found.doctors) == (None, None, None)


def test_statements_count_for_two_days_to_the_microsecond() -> None:
    said = {"needs": {"patients": {"patients:read": "granted"}}}
    for age, statement in ((STATEMENTS_TRUSTED, GRANTED), (STATEMENTS_TRUSTED + timedelta(microseconds=1), UNKNOWN)):
        found = coverage_of(KINDS["patients"], said | {"asked_at": NOON - age}, NOON)
        assert found.needs["patients:read"] is statement


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ([], UNKNOWN),
        ([GRANTED, GRANTED], GRANTED),
        ([GRANTED, UNKNOWN], UNKNOWN),
        ([GRANTED, UNKNOWN, MISSING], MISSING),
    ],
)
def test_everything_is_granted_only_if_everything_is_stated_to_be(said: list[Statement], verdict: Statement) -> None:
    needs = {f"need {number}": statement for number, statement in enumerate(said)}
    assert Coverage(None, None, needs, None, None).verdict is verdict


def test_the_coverage_of_a_kind_is_a_document_that_the_store_takes(documents: Documents) -> None:
    with simulator(patients=3) as running:
        clinic = clinic_of(running, documents)
        clinic.run(sync)
        shown = of(clinic, "patients").as_document()
        documents.transact(lambda transaction: transaction.set("sync_status/patients", {"coverage": shown}))
        assert documents.get("sync_status/patients") == {"coverage": shown}
        assert shown["verdict"] == "unknown"
        assert shown["needs"]["manage-patients"] == "granted"
        assert documents.get(STATE) is not None


def test_no_name_of_a_person_is_in_the_log_or_the_state(
    embedded: Documents, capsys: pytest.CaptureFixture[str]
) -> None:
    with simulator(patients=3) as running:
        user = min(running.truth("users"))
        running.change("users", user, {"username": "qwertyname"}, webhook=False)
        doctor = min(running.truth("doctors"))
        running.change("doctors", doctor, {"last_name": "qwertyname"}, webhook=False)
        clinic = clinic_of(running, embedded)
        clinic.run(sync)
        assert clinic.stored("users")[user]["username"] == "qwertyname"
        assert "qwertyname" not in capsys.readouterr().out
        assert "qwertyname" not in repr(list(embedded.query("sync_state")))
