"""What a list's query asks for: filters, read lag, archived appointments; and what it must ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from simulator.clinic import Clinic
from simulator.kinds import APPOINTMENTS, NOTES, PATIENTS, Kind
from simulator.messages import RefusedError
from simulator.store import Fields, Record, Version

_LONGEST_RANGE_DAYS = 190
_ONE_OF = ("since", "occurred_since", "date", "date_range")
# The real text is not known.
_MISSING = ["One of these parameters is required: since, occurred_since, date, date_range."]

Condition = Callable[[Version], bool]


@dataclass
class Selection:
    """The records of one kind that a list holds, as a reader sees them who lags behind by `lag_seconds`."""

    clinic: Clinic
    kind: Kind
    patient: str | None = None
    archived: bool = False
    nothing: bool = False
    conditions: list[Condition] = field(default_factory=list)

    def after(self, position: int, lag_seconds: float) -> Iterator[tuple[Record, Version]]:
        """Records and the version to show, in the order they were made, from a position on."""
        if self.nothing:
            return
        until = self.clinic.clock.now() - lag_seconds
        for record in self.clinic.store.after(self.kind.name, position, self.patient):
            version = record.seen(until) if lag_seconds else record.versions[-1]
            if version is None or (version.deleted and not self.archived):
                continue
            if all(condition(version) for condition in self.conditions):
                yield record, version


def select(clinic: Clinic, kind: Kind, query: Mapping[str, str]) -> Selection:
    """Read a query. Refuses with 400 what the service refuses; unknown parameters are ignored, as there."""
    selection = Selection(clinic, kind, patient=query.get("patient") if "patient" in kind.filters else None)
    conditions = selection.conditions
    if kind.timed and "since" in query:
        since = _instant(clinic, "since", query["since"])
        conditions.append(lambda version: version.updated_at >= since)
    if kind.name == APPOINTMENTS:
        selection.archived = query.get("show_archived", "").lower() in ("true", "1")
        selection.nothing = _is_refused(clinic, query)
        if "occurred_since" in query:
            begin = clinic.local.text(_instant(clinic, "occurred_since", query["occurred_since"]))
            conditions.append(lambda version: version.fields["scheduled_time"] >= begin)
        if query.get("ignore_virtual", "").lower() == "true":
            conditions.append(lambda version: "_" not in str(version.fields["id"]))
    if kind.name in (APPOINTMENTS, NOTES) and ("date" in query or "date_range" in query):
        first, last = _days(query)
        conditions.append(lambda version: first <= _visit(clinic, version)["scheduled_time"][:10] <= last)
    if kind.name == PATIENTS and "created_at" in query:
        day = query["created_at"]
        conditions.append(lambda version: version.fields["created_at"].startswith(day))
    if kind.name == NOTES and not clinic.config.live and "appointment" in query:
        conditions.append(_equals("appointment", query["appointment"]))
    for name in kind.filters:
        if name in query and name != "patient":
            on_visit = kind.name == NOTES and name in ("doctor", "office")
            conditions.append(_equals(name, query[name], clinic if on_visit else None))
    return selection


def _equals(name: str, wanted: str, clinic: Clinic | None = None) -> Condition:
    """Field equals text, whatever its case; with a clinic, the field of a note's appointment."""

    def condition(version: Version) -> bool:
        fields = version.fields if clinic is None else _visit(clinic, version)
        return str(fields.get(name)).lower() == wanted.lower()

    return condition


def _visit(clinic: Clinic, version: Version) -> Fields:
    """The appointment a version is, or is a note of."""
    if version.kind.name == APPOINTMENTS:
        return version.fields
    return clinic.store.by_key[APPOINTMENTS][str(version.fields["appointment"])].current.fields


def _instant(clinic: Clinic, name: str, text: str) -> float:
    if "T" in text:
        text = text.replace(" ", "+")  # an offset's plus sign that was not escaped
    try:
        # Live, a Z or an offset is refused; the guide's own example ends in Z.
        return clinic.local.instant(text, offset_allowed=not clinic.config.live)
    except ValueError:
        raise RefusedError(400, {name: ["Enter a valid date/time."]}) from None


def _days(query: Mapping[str, str]) -> tuple[str, str]:
    """First and last day of `date` or `date_range` (two days with a slash between)."""
    first, _, last = query.get("date_range", query.get("date", "")).partition("/")
    try:
        begin, end = date.fromisoformat(first[:10]), date.fromisoformat((last or first)[:10])
    except ValueError:
        name = "date_range" if "date_range" in query else "date"
        raise RefusedError(400, {name: ["Enter a valid date."]}) from None
    return begin.isoformat(), end.isoformat()


def _is_refused(clinic: Clinic, query: Mapping[str, str]) -> bool:
    """Whether an appointment list comes back empty because it asks for too much; with 400 if so configured.

    Two production integrations saw the empty list, a third one the 400.
    """
    problem: object = None
    if not any(name in query for name in _ONE_OF):
        problem = _MISSING
    elif "date_range" in query:
        begin, end = (datetime.fromisoformat(day).date() for day in _days(query))
        too_long = (end - begin).days > _LONGEST_RANGE_DAYS and end >= clinic.local.day(clinic.clock.now())
        problem = {"date_range": [f"The range must not exceed {_LONGEST_RANGE_DAYS} days."]} if too_long else None
    if problem and clinic.config.missing_filter == "400":
        raise RefusedError(400, problem)
    return problem is not None
