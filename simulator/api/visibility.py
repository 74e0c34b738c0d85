"""What the user who authorized the application may see.

On the live service, lists hold "all endpoint resources that the requester can access". A permission that was removed
therefore shows as a shorter or empty list with status 200. Access to the patients of other doctors needs
`share_patients`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from simulator.api.address import Read
from simulator.practice.clinic import Clinic
from simulator.practice.kinds import KINDS
from simulator.practice.store import Version


@dataclass(frozen=True, kw_only=True)
class Hidden:
    """Records that lists omit: a kind, or those of one patient or doctor."""

    kind: str
    patient: int | str | None = None
    doctor: int | str | None = None
    single: Literal["show", "404"] = "show"
    """Whether single reads and writes still work, or answer 404."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown kind {self.kind!r}: one of {', '.join(KINDS)}")
        if self.single not in ("show", "404"):
            raise ValueError(f"single is show or 404, not {self.single!r}")


class Visibility:
    """Hides records from lists and single reads. By default everything is visible."""

    def __init__(self, clinic: Clinic, *, only_doctor: int | str | None = None) -> None:
        self._clinic = clinic
        self.hidden: tuple[Hidden, ...] = ()
        self.only_doctor = only_doctor
        """If set, the user sees only this doctor's patients and their records. Staff and offices stay visible."""

    def set(self, hidden: Sequence[Mapping[str, Any]]) -> None:
        """Replace the hidden records. Raises ValueError or TypeError if a rule is invalid."""
        self.hidden = tuple(Hidden(**each) for each in hidden)

    def hides(self, version: Version, read: Read) -> bool:
        if not self.hidden and self.only_doctor is None:
            return False
        patient, doctor = self._clinic.owners(version)
        if self.only_doctor is not None and version.kind.clinical:
            seen_by = doctor if patient is None else self._clinic.doctor_of(patient)
            if str(seen_by) != str(self.only_doctor):
                return True
        return any(
            rule.kind == version.kind.name
            and (read != "single" or rule.single == "404")
            and (rule.patient is None or str(rule.patient) == str(patient))
            and (rule.doctor is None or str(rule.doctor) == str(doctor))
            for rule in self.hidden
        )

    def as_json(self) -> dict[str, Any]:
        return {"only_doctor": self.only_doctor, "hidden": [asdict(rule) for rule in self.hidden]}
