"""Queries of lists: filters, required parameters, archived appointments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from simulator.messages import RefusedError
from simulator.practice.clinic import Clinic
from simulator.practice.kinds import APPOINTMENTS, NOTES, PATIENTS, Kind
from simulator.practice.store import Record, Version

_LONGEST_RANGE_DAYS = 190
_ONE_OF = ("since", "occurred_since", "date", "date_range")
# The real text is unknown.
_MISSING = ["One of these parameters is required: since, occurred_since, date, date_range."]

Condition = Callable[[Version], bool]


@dataclass
class Selection:
    """The records of one kind that match a query."""

    clinic: Clinic
    kind: Kind
    patient: str | None = None
    archived: bool = False
    nothing: bool = False
    conditions: list[Condition] = field(default_factory=list)

    def after(self, position: int, lag_seconds: float) -> Iterator[tuple[Record, Version]]:
        """Yield records and their version of `lag_seconds` ago, in the order of creation, from `position` on."""
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
    """Return the selection of a query. Like the service, ignore unknown parameters.

    Raises RefusedError (400) for queries that the service refuses.
    """
    selection = Selection(clinic, kind, patient=query.get("patient") if "patient" in kind.filters else None)
    conditions = selection.conditions
    if kind.timed and "since" in query:
        since = _instant(clinic, "since", query["since"]) + 3600 * clinic.config.since_shift_hours
        conditions.append(lambda version: version.updated_at >= since)
    if kind.name == APPOINTMENTS:
        selection.archived = query.get("show_archived", "").lower() in ("true", "1")
        selection.nothing = _is_refused(clinic, query)
        if "occurred_since" in query:
            begin = clinic.local.text(_instant(clinic, "occurred_since", query["occurred_since"]))
            conditions.append(lambda version: (version.fields["scheduled_time"] or "") >= begin)
        if query.get("ignore_virtual", "").lower() == "true":
            conditions.append(lambda version: "_" not in str(version.fields["id"]))
    if kind.name in (APPOINTMENTS, NOTES) and ("date" in query or "date_range" in query):
        first, last = _days(query)
        conditions.append(lambda version: first <= _day_of(clinic.appointment_of(version)) <= last)
    if kind.name == PATIENTS and "created_at" in query:
        day = query["created_at"]
        conditions.append(lambda version: version.fields["created_at"].startswith(day))
    if kind.name == NOTES and not clinic.config.live and "appointment" in query:
        conditions.append(_equals("appointment", query["appointment"]))
    for name in kind.filters:
        if name in query:
            on_visit = kind.name == NOTES and name in ("doctor", "office")
            conditions.append(_equals(name, query[name], clinic if on_visit else None))
    return selection


def _equals(name: str, wanted: str, clinic: Clinic | None = None) -> Condition:
    """Compare a field with a text, ignoring case. With a clinic, the field is that of the note's appointment."""

    def condition(version: Version) -> bool:
        fields = version.fields if clinic is None else clinic.appointment_of(version)
        return str(fields.get(name)).lower() == wanted.lower()

    return condition


def _day_of(appointment: Mapping[str, Any]) -> str:
    """Return the day of an appointment, an empty text if it is not dated: no range holds that."""
    return (appointment["scheduled_time"] or "")[:10]


def _instant(clinic: Clinic, name: str, text: str) -> float:
    if "T" in text:
        text = text.replace(" ", "+")  # the plus sign of an offset that was not escaped
    try:
        # The live service refuses a Z or an offset. The guide's own example ends in Z.
        return clinic.local.instant(text, offset_allowed=not clinic.config.live)
    except ValueError:
        raise RefusedError(400, {name: ["Enter a valid date/time."]}) from None


def _days(query: Mapping[str, str]) -> tuple[str, str]:
    """Return the first and last day of `date` or `date_range` (two days separated by a slash)."""
    first, _, last = query.get("date_range", query.get("date", "")).partition("/")
    try:
        begin, end = date.fromisoformat(first[:10]), date.fromisoformat((last or first)[:10])
    except ValueError:
        name = "date_range" if "date_range" in query else "date"
        raise RefusedError(400, {name: ["Enter a valid date."]}) from None
    return begin.isoformat(), end.isoformat()


def _is_refused(clinic: Clinic, query: Mapping[str, str]) -> bool:
    """Whether an appointment list is empty because the query is too wide. Raises RefusedError (400) if so configured.

    Two production integrations saw an empty list, a third saw a 400.
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
