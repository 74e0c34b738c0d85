"""What DrChrono states of a user's permissions, and what it leaves open, which is never taken for granted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.drchrono.kinds import KINDS
from shared.drchrono.permissions import (
    Statement,
    User,
    kinds_by_need,
    needs_of,
    relevant,
    remedy,
    stated,
    user_of,
)
from workstation.authorization import READ_SCOPES, WRITE_SCOPES

GRANTED, MISSING, UNKNOWN = Statement.GRANTED, Statement.MISSING, Statement.UNKNOWN
ALL = " ".join(READ_SCOPES + WRITE_SCOPES)


def user(permissions: Any) -> User:
    return user_of({"id": 1, "is_doctor": True, "doctor": 7, "practice_group": 9, "permissions": permissions})


@pytest.mark.parametrize(
    ("permissions", "said"),
    [
        ({"share_patients": True}, GRANTED),
        ({"share-patients": True}, GRANTED),
        ({"SHARE_PATIENTS": False}, MISSING),
        ({"share_patients": False}, MISSING),
        ({"share_patients": None}, UNKNOWN),
        ({"share_patients": "true"}, UNKNOWN),
        ({"share_patients": 1}, UNKNOWN),
        ({"manage-patients": True}, UNKNOWN),
        ({}, UNKNOWN),
        (["share_patients"], GRANTED),
        (["manage-patients"], UNKNOWN),
        ([], UNKNOWN),
        ("share_patients", UNKNOWN),
        (None, UNKNOWN),
        (True, UNKNOWN),
    ],
)
def test_a_permission_is_granted_missing_or_unknown_as_stated(permissions: object, said: Statement) -> None:
    assert stated(permissions, "share_patients") is said


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)


@given(json)
def test_a_permission_that_is_not_named_is_never_granted(permissions: Any) -> None:
    for kind in KINDS.values():
        needs = needs_of(kind, user(permissions), "")
        assert GRANTED not in needs.values()


def test_each_kind_needs_its_scope_its_permissions_and_the_access_among_the_practice() -> None:
    everything = dict.fromkeys(
        ("manage-patients", "scheduling", "clinical-notes", "share_patients", "share_appointment_profiles"), True
    )
    for kind in KINDS.values():
        assert set(needs_of(kind, user(everything), ALL).values()) == {GRANTED}
    assert needs_of(KINDS["appointments"], user({"scheduling": True, "share_patients": False}), ALL) == {
        "calendar:read": GRANTED,
        "scheduling": GRANTED,
        "clinical-notes": UNKNOWN,
        "share_patients": MISSING,
    }
    assert needs_of(KINDS["doctors"], user(None), "patients:read") == {"user:read": MISSING}
    assert needs_of(KINDS["doctors"], user(None), "") == {"user:read": UNKNOWN}


def test_the_kinds_are_named_with_what_they_lack() -> None:
    needs = {name: needs_of(kind, user({"clinical-notes": False}), ALL) for name, kind in KINDS.items()}
    assert kinds_by_need(needs, MISSING) == {
        "clinical-notes": ["appointments", "clinical_notes", "medications", "problems", "allergies"]
    }
    assert kinds_by_need(needs, UNKNOWN)["manage-patients"] == ["patients"]


def test_in_a_practice_of_one_doctor_the_access_to_others_is_not_needed() -> None:
    needs = needs_of(KINDS["patients"], user({"share_patients": False}), ALL)
    assert "share_patients" in relevant(needs, 2)
    assert "share_patients" in relevant(needs, None)
    assert "share_patients" in relevant(needs, 0)
    assert relevant(needs, 1) == {"patients:read": GRANTED, "manage-patients": UNKNOWN}


def test_the_remedy_uses_the_names_of_drchronos_screens() -> None:
    assert remedy([]) == ""
    assert remedy(["calendar:read"]) == "authorize again and allow calendar:read"
    said = remedy(["share_patients", "scheduling"])
    assert "Account > Staff Permissions > View > Edit Permissions, check Share Patients, Access Scheduling" in said
    assert '"share_patients" need to be set for data access among practice' in said
    assert "check share_appointment_profiles" in remedy(["share_appointment_profiles"])


@pytest.mark.parametrize("record", [{}, {"id": None, "is_doctor": "yes", "doctor": [], "practice_group": 1.5}])
def test_fields_that_a_user_lacks_are_none(record: dict[str, Any]) -> None:
    assert user_of(record) == User(None, None, None, None, None)
