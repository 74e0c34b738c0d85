"""Coverage in words: whose records the copy holds, for `authorize`, `doctor` and `status`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from ops.screen import BAD, DIM, Screen, ago
from ops.target_system import TargetSystem
from ops.verdict import Failed, Skipped
from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.drchrono.permissions import Needs, Statement, kinds_by_need, relevant, remedy
from shared.errors import QuotaExhausted, Throttled
from shared.records.coverage import STATE, coverage_of
from shared.records.prepared import path_of

# This kind shows best whose records the copy holds. All others belong to patients or to the whole practice.
MAIN_KIND = "patients"


@dataclass(frozen=True)
class CoverageStatus:
    """user: the DrChrono user's name if the copy has it, else the id; None if neither is known. doctors_seen: how many
    of the practice's `doctors` the copy's patients name. missing, unknown: by scope or permission, the kinds that need
    it. problem: why the last request for the user failed.
    """

    user: str | None
    asked_at: datetime | None
    doctors_seen: int | None
    doctors: int | None
    missing: dict[str, list[str]]
    unknown: dict[str, list[str]]
    problem: str | None

    @property
    def said(self) -> str:
        return f"what {self.user or 'an unknown user'} may see; {counted(self.doctors_seen, self.doctors)}"


def coverage_status(documents: Documents, now: datetime) -> CoverageStatus:
    """Return the coverage from the last daily request. Raises StoreUnavailable."""
    state = documents.get(STATE)
    each = {kind.name: coverage_of(kind, state, now) for kind in KINDS.values()}
    needs = {name: coverage.needs for name, coverage in each.items()}
    problem = (state or {}).get("problem")
    stated = each[MAIN_KIND]
    return CoverageStatus(
        user=name_of(documents, stated.user),
        asked_at=stated.asked_at,
        doctors_seen=stated.doctors_seen,
        doctors=stated.doctors,
        missing=kinds_by_need(needs, Statement.MISSING),
        unknown=kinds_by_need(needs, Statement.UNKNOWN),
        problem=str(problem.get("reason")) if isinstance(problem, dict) else None,
    )


def name_of(documents: Documents, user: str | None) -> str | None:
    """Return the name by which the user signs in, from the copy; else the id."""
    if user is None:
        return None
    name = (documents.get(path_of(KINDS["users"], user)) or {}).get("username")
    return name if isinstance(name, str) and name else f"user {user}"


def counted(seen: int | None, doctors: int | None) -> str:
    if not doctors:
        return "the doctors are not known yet"
    return f"{seen or 0} of {doctors} {'doctor' if doctors == 1 else 'doctors'}"


def named(needs: Mapping[str, list[str]]) -> str:
    """Return for example `share_patients (patients, appointments), calendar:read (appointments)`."""
    return ", ".join(f"{need} ({', '.join(kinds)})" for need, kinds in needs.items())


def show_needs(screen: Screen, needs: Mapping[str, Needs]) -> None:
    """For `authorize`: show what is missing with its remedy, and what DrChrono does not state."""
    missing = kinds_by_need(needs, Statement.MISSING)
    if missing:
        screen.say(f"Missing: {named(missing)}. DrChrono omits such records, or refuses the request.", BAD)
        screen.say(f"→ {remedy(missing)}.")
    unknown = kinds_by_need(needs, Statement.UNKNOWN)
    if unknown:
        screen.say(f"Not stated by DrChrono: {', '.join(unknown)}.", DIM)


def show_coverage(screen: Screen, coverage: CoverageStatus, now: datetime) -> None:
    """For `status`."""
    if coverage.asked_at is None:
        why = f" ({coverage.problem})" if coverage.problem else ""
        screen.say(f"Whose records these are is not known yet{why}: the next sync asks.", DIM)
        return
    screen.say(f"Coverage: {coverage.said} (asked {ago(coverage.asked_at, now)}).")
    if coverage.missing:
        screen.say(f"Missing: {named(coverage.missing)}.", BAD)
        screen.say(f"→ {remedy(coverage.missing)}.")
    if coverage.problem:
        screen.say(f"The DrChrono user could not be asked since ({coverage.problem}); it is tried again.", BAD)


def check_coverage(target: TargetSystem, now: Callable[[], datetime]) -> str:
    """For `doctor`: request the user from DrChrono (one request), and count the doctors in the copy."""
    coverages = target.system.coverage()
    try:
        user, needs = coverages.look()
    except (QuotaExhausted, Throttled) as error:
        raise Skipped(f"no request is allowed before {error.until:%H:%M:%S} UTC", "ask again then") from None
    doctors, by_kind = coverages.doctors()
    needs = {kind: relevant(each, doctors) for kind, each in needs.items()}
    missing, unknown = (kinds_by_need(needs, said) for said in (Statement.MISSING, Statement.UNKNOWN))
    seen = by_kind.get(MAIN_KIND, 0)
    name = name_of(target.system.documents(), user.id) or "an unknown user"
    said = f"the copy holds what {name} may see; {counted(seen, doctors)}"
    if missing:
        raise Failed(f"{said}; missing: {named(missing)}", remedy(missing))
    if not unknown:
        return said
    doubt = f"{said}; DrChrono does not state {', '.join(unknown)}"
    if seen < doctors and seen:
        raise Skipped(doubt, f"if doctors with patients are left out, {remedy(unknown)}")
    return doubt
