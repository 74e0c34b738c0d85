"""What a token and its DrChrono user may see, compared with what each kind needs. Pure.

Each list depends on the token's scope and on the permissions of the user who authorized it. Without a permission,
DrChrono may refuse a list (403), or return it shorter or empty with status 200. Whatever DrChrono does not state is
unknown and never counts as granted.

Names of permissions: DrChrono's schema (`x-permissions`, `x-practice-access`). `GET /api/users/current` returns some of
them in `permissions`; whether it returns all, such as `share_patients`, is not documented.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from shared.drchrono.ids import id_of
from shared.drchrono.kinds import KINDS, Kind

# Their names on DrChrono's screen (support.drchrono.com, "Staff and Provider Permissions").
TITLES = {
    "manage-patients": "Create and Update Patients",
    "scheduling": "Access Scheduling",
    "clinical-notes": "Access Clinical Notes",
    "share_patients": "Share Patients",
}


PRACTICE_ACCESS = frozenset(kind.practice_access for kind in KINDS.values() if kind.practice_access)


class Statement(StrEnum):
    GRANTED = "granted"
    MISSING = "missing"
    UNKNOWN = "unknown"


Needs = Mapping[str, Statement]


@dataclass(frozen=True)
class User:
    """The fields of `users/current` that matter, without names. None for what it does not state."""

    id: str | None
    is_doctor: bool | None
    doctor: str | None
    practice_group: str | None
    permissions: Any


def user_of(record: Mapping[str, Any]) -> User:
    is_doctor = record.get("is_doctor")
    return User(
        id=id_of(record.get("id")),
        is_doctor=is_doctor if isinstance(is_doctor, bool) else None,
        doctor=id_of(record.get("doctor")),
        practice_group=id_of(record.get("practice_group")),
        permissions=record.get("permissions"),
    )


def needs_of(kind: Kind, user: User, scopes: str) -> dict[str, Statement]:
    """Return what reading all records of the kind needs, and whether it is granted.

    scopes: of the token, separated by spaces; empty if they are unknown.
    """
    scope = Statement.UNKNOWN
    if scopes.split():
        scope = Statement.GRANTED if kind.scope in scopes.split() else Statement.MISSING
    names = (*kind.permissions, *([kind.practice_access] if kind.practice_access else []))
    return {kind.scope: scope} | {name: stated(user.permissions, name) for name in names}


def relevant(needs: Needs, doctors: int | None) -> dict[str, Statement]:
    """Return `needs`, without access to other doctors' records if the practice has one doctor."""
    return {name: said for name, said in needs.items() if doctors != 1 or name not in PRACTICE_ACCESS}


def stated(permissions: object, name: str) -> Statement:
    """Return what `permissions`, an object of booleans or an array of the granted ones, states of `name`. `-` equals
    `_`.
    """
    if isinstance(permissions, Mapping):
        values = {_plain(key): value for key, value in permissions.items() if isinstance(key, str)}
        value = values.get(_plain(name))
        if isinstance(value, bool):
            return Statement.GRANTED if value else Statement.MISSING
    elif isinstance(permissions, list) and _plain(name) in {_plain(one) for one in permissions if isinstance(one, str)}:
        return Statement.GRANTED
    return Statement.UNKNOWN


def kinds_by_need(needs: Mapping[str, Needs], statement: Statement) -> dict[str, list[str]]:
    """Return, for each scope or permission of which this is stated, the kinds that need it. `needs`: by kind."""
    found: dict[str, list[str]] = {}
    for kind, each in needs.items():
        for name, said in each.items():
            if said is statement:
                found.setdefault(name, []).append(kind)
    return found


def remedy(names: Iterable[str]) -> str:
    """Return what a person can do about these missing scopes and permissions; empty if there are none."""
    scopes = {kind.scope for kind in KINDS.values()}
    missing = list(names)
    steps = []
    if lacking := [name for name in missing if name in scopes]:
        steps.append(f"authorize again and allow {', '.join(lacking)}")
    if lacking := [name for name in missing if name not in scopes]:
        titles = ", ".join(TITLES.get(name, name) for name in lacking)
        steps.append(f"in DrChrono: Account > Staff Permissions > View > Edit Permissions, check {titles}")
    if "share_patients" in missing:
        steps.append('DrChrono says that "share_patients" need to be set for data access among practice')
    return "; ".join(steps)


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")
