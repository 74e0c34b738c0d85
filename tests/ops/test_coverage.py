"""`authorize`, `doctor` and `status` show whose records the copy holds, and name what the user lacks."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from tests.ops.conftest import SCOPES, Practice
from tests.ops.terminal import plain
from tests.ops.test_authorize import asked, ended
from tests.ops.test_doctor import found

REMEDY = "Account > Staff Permissions > View > Edit Permissions, check Share Patients"


def state(practice: Practice, *, shown: bool, shared: bool = False) -> None:
    """State or omit that the user has `share_patients`, and show records accordingly."""
    simulator = practice.simulator
    user = min(simulator.truth("users"))
    stated: dict[str, Any] = {"manage-patients": True, "scheduling": True, "clinical-notes": True}
    stated |= {"share_appointment_profiles": True} | ({"share_patients": shared} if shown else {})
    simulator.change("users", user, {"permissions": stated}, webhook=False)
    simulator.visibility.only_doctor = None if shared else min(simulator.truth("doctors"))


def seen(practice: Practice) -> int:
    """Return how many doctors' patients the user may see."""
    only = practice.simulator.visibility.only_doctor
    doctors = {str(one["doctor"]) for one in practice.simulator.truth("patients").values()}
    return len(doctors & {only} if only else doctors)


def words(text: str) -> str:
    return " ".join(text.split())


def test_status_shows_whose_records_the_copy_holds(either: Practice) -> None:
    either.authorize()
    assert "Whose records these are is not known yet" in words(either.ops("status").output)
    state(either, shown=True, shared=True)
    either.backfill()
    either.work()
    shown = words(either.ops("status").output)
    assert f"Coverage: what simulated may see; {seen(either)} of 3 doctors (asked" in shown
    assert "Missing" not in shown
    coverage = json.loads(either.ops("status", "--json").output)["coverage"]
    assert (coverage["user"], coverage["doctors"], coverage["missing"]) == ("simulated", 3, {})


def test_missing_permissions_are_named_with_their_remedy(practice: Practice) -> None:
    practice.authorize()
    state(practice, shown=True)
    practice.backfill()
    practice.work()
    shown = words(practice.ops("status").output)
    assert seen(practice) == 1
    assert "Coverage: what simulated may see; 1 of 3 doctors" in shown
    kinds = "patients, appointments, clinical_notes, medications, problems, allergies"
    assert f"Missing: share_patients ({kinds})." in shown
    assert REMEDY in shown
    result = found(practice, "coverage")
    assert result.verdict == "failed"
    assert result.found == f"the copy holds what simulated may see; 1 of 3 doctors; missing: share_patients ({kinds})"
    assert REMEDY in result.remedy
    assert '"share_patients" need to be set for data access among practice' in result.remedy
    assert practice.ops("doctor").exit_code == 1


def test_unstated_permissions_do_not_pass_if_doctors_are_left_out(practice: Practice) -> None:
    practice.authorize()
    state(practice, shown=False)
    practice.backfill()
    practice.work()
    result = found(practice, "coverage")
    assert result.verdict == "skipped"
    assert "1 of 3 doctors; DrChrono does not state share_patients" in result.found
    assert REMEDY in result.remedy
    assert "Missing" not in practice.ops("status").output


def test_doctor_passes_if_everything_is_granted(practice: Practice) -> None:
    practice.authorize()
    state(practice, shown=True, shared=True)
    practice.backfill()
    practice.work()
    assert found(practice, "coverage").verdict == "passed"


def test_doctor_requests_the_user_and_stores_nothing(practice: Practice) -> None:
    practice.authorize()
    state(practice, shown=True, shared=True)
    practice.work()
    state(practice, shown=True)
    before = practice.system.documents().get("sync_state/coverage")
    assert found(practice, "coverage").verdict == "failed"
    assert practice.system.documents().get("sync_state/coverage") == before


def test_a_practice_of_one_doctor_needs_no_access_to_others(practice: Practice) -> None:
    practice.authorize()
    first, *others = practice.simulator.truth("doctors")
    for doctor in others:
        practice.simulator.delete("doctors", doctor, webhook=False)
    state(practice, shown=True)
    practice.work()
    result = found(practice, "coverage")
    assert (result.verdict, result.found) == ("passed", "the copy holds what simulated may see; 0 of 1 doctor")
    assert "Missing" not in practice.ops("status").output
    assert first in practice.simulator.truth("doctors")


def test_a_failed_request_for_the_user_is_reported(practice: Practice) -> None:
    practice.authorize()
    practice.work()
    rule = {"match": {"path": "/api/users/current"}, "fault": "answer", "status": 403, "body": {"detail": "no"}}
    practice.simulator.faults.set([rule], replace=True)
    result = found(practice, "coverage")
    assert result.verdict == "failed"
    assert "user:read" in result.remedy


@pytest.mark.parametrize("shared", [True, False])
def test_authorize_says_at_once_what_is_missing(practice: Practice, shared: bool) -> None:
    state(practice, shown=True, shared=shared)
    with asked(practice) as (child, url):
        child.expect("Waiting")
        requests.get(url, timeout=5)
        said = words(ended(child))
    assert child.exitstatus == 0
    assert ("Missing: share_patients" in said) is not shared
    assert (REMEDY in said) is not shared
    practice.write()
    kept = practice.system.documents().get("sync_state/coverage") or {}
    assert kept["needs"]["patients"]["share_patients"] == ("granted" if shared else "missing")


def test_authorize_names_the_kinds_of_a_scope_that_was_not_granted(practice: Practice) -> None:
    with asked(practice, "--paste") as (child, url):
        child.expect("Address: ")
        less = url.replace("+calendar%3Aread", "")
        assert less != url
        child.sendline(requests.get(less, allow_redirects=False, timeout=5).headers["Location"])
        said = words(ended(child))
    assert "Missing: calendar:read (appointments, appointment_profiles)" in plain(said)
    assert "authorize again and allow calendar:read" in said


def test_authorize_succeeds_though_the_user_cannot_be_requested(practice: Practice) -> None:
    rule = {"match": {"path": "/api/users/current"}, "fault": "500"}
    practice.simulator.faults.set([rule], replace=True)
    with asked(practice) as (child, url):
        child.expect("Waiting")
        requests.get(url, timeout=5)
        said = words(ended(child))
    assert child.exitstatus == 0
    assert "What this user may see is not known yet (server_error)" in said
    assert "Next: python -m ops doctor --local" in said
    assert len(SCOPES) == 6
