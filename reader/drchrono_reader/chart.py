"""All records of one patient in the copy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from drchrono_reader.query import Records
from drchrono_reader.record import Record
from drchrono_reader.status import Status

# A whole number that Firestore can hold.
_NUMBER = re.compile(r"-?[1-9][0-9]{0,17}|0")

CHART_KINDS = ("appointments", "clinical_notes", "medications", "problems", "allergies")


@dataclass(frozen=True)
class Chart:
    """patient: None if the copy has no such patient. statuses: by kind, read before the records."""

    patient: Record | None
    appointments: list[Record]
    clinical_notes: list[Record]
    medications: list[Record]
    problems: list[Record]
    allergies: list[Record]
    statuses: Mapping[str, Status]

    @property
    def complete_until(self) -> datetime | None:
        """Every change of any kind made at DrChrono before this time (UTC) is in the chart. None if unknown."""
        moments = [status.proven_until for status in self.statuses.values()]
        known = [moment for moment in moments if moment is not None]
        return min(known) if known and len(known) == len(moments) else None

    def is_complete(self, *, at: datetime) -> bool:
        """Return whether every change made before `at` (aware) is in the chart, of what the user may see."""
        return not self.incomplete(at=at)

    def incomplete(self, *, at: datetime) -> list[str]:
        """Return the kinds of which a change made before `at` may be missing."""
        return [kind for kind, status in self.statuses.items() if not status.is_complete(at=at)]


def chart_of(patient: str, records: Mapping[str, Records], statuses: Mapping[str, Status], *, deleted: bool) -> Chart:
    """records: by kind. statuses: by kind, read before the records."""
    # DrChrono names a patient by number in some kinds and by text in others.
    names: list[str | int] = [patient]
    if _NUMBER.fullmatch(patient):
        names.append(int(patient))

    def of(kind: str) -> list[Record]:
        query = records[kind].where("patient", "in", names)
        return list(query.with_deleted() if deleted else query)

    return Chart(
        patient=records["patients"].get(patient, deleted=deleted),
        appointments=of("appointments"),
        clinical_notes=of("clinical_notes"),
        medications=of("medications"),
        problems=of("problems"),
        allergies=of("allergies"),
        statuses=statuses,
    )
