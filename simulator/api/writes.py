"""Writes through the API: validation, and the resulting records."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from simulator.messages import RefusedError
from simulator.practice.clinic import Clinic
from simulator.practice.drafts import blank
from simulator.practice.kinds import APPOINTMENTS, PATIENTS, Kind
from simulator.practice.store import Fields

_READ_ONLY = frozenset(
    {"id", "created_at", "updated_at", "extended_updated_at", "deleted_flag", "clinical_note", "status_transitions"}
    | {"patient_flags", "reminders", "billing_notes", "created_by", "recurrence_instance_key", "is_virtual_base"}
)
_INTEGERS = frozenset(
    {"doctor", "patient", "office", "exam_room", "duration", "profile", "appointment", "number_refills"}
)
_BOOLEANS = frozenset(
    {"appt_is_break", "allow_overlapping", "is_walk_in", "recurring_appointment", "disable_sms_messages", "daw", "prn"}
)
_CHOICES = {
    (PATIENTS, "gender"): ("", "Male", "Female", "Other", "UNK", "ASKU"),
    (PATIENTS, "patient_status"): ("A", "I", "D"),
}
_REQUIRED = ["This field is required."]


class Writes:
    """Validates the fields of write requests and applies them."""

    def __init__(self, clinic: Clinic) -> None:
        self._clinic = clinic

    def create(self, kind: Kind, given: Fields) -> Any:
        """Create a record and return its version. Raises RefusedError (400, 409)."""
        self._require(kind, given)
        fields = self._clean(kind, given)
        with self._clinic.store.lock:
            if kind.name == APPOINTMENTS:
                self._refuse_overlap({"duration": 30, "status": "", **fields}, None)
            return self._clinic.create(kind.name, fields, draft=False).version

    def change(self, kind: Kind, key: str, given: Fields, *, whole: bool) -> None:
        """Change a record. Even an empty PATCH moves `updated_at` (seen in recorded exchanges).

        Raises RefusedError (400, 409) and NoSuchRecordError.
        """
        if whole:
            self._require(kind, given)
        fields = self._clean(kind, given)
        with self._clinic.store.lock:
            record = self._clinic.find(kind.name, key)
            if kind.name == APPOINTMENTS and {"scheduled_time", "duration", "doctor"} & set(fields):
                self._refuse_overlap({**record.current.fields, **fields}, key)
            self._clinic.change(kind.name, key, fields)

    def _require(self, kind: Kind, given: Fields) -> None:
        missing = {name: _REQUIRED for name in kind.required if name not in given}
        if missing:
            raise RefusedError(400, missing)

    def _clean(self, kind: Kind, given: Fields) -> Fields:
        """Return the known, writable fields, each converted to its type."""
        known = blank(kind.name, live=self._clinic.config.live)
        fields, problems = {}, {}
        for name, value in given.items():
            if name in known and name not in _READ_ONLY:
                try:
                    fields[name] = self._clean_one(kind, name, _typed(value, known[name]), given)
                except ValueError as error:
                    problems[name] = [str(error)]
        if problems:
            raise RefusedError(400, problems)
        return fields

    def _clean_one(self, kind: Kind, name: str, value: Any, given: Fields) -> Any:
        if name in _INTEGERS:
            value = _integer(value)
        elif name in _BOOLEANS:
            value = _boolean(value)
        elif name == "scheduled_time":
            value = _local_time(value)
        elif name.startswith("date_") and value not in (None, ""):
            value = _parsed(
                date.fromisoformat, value, "Date has wrong format. Use one of these formats instead: YYYY-MM-DD."
            )
        choices = _CHOICES.get((kind.name, name))
        if choices and value not in choices:
            raise ValueError(f'"{value}" is not a valid choice.')
        if name == "doctor" and all(doctor["id"] != value for doctor in self._clinic.doctors):
            raise ValueError(_no_such(value))
        if name == "office" and all(office["id"] != value for office in self._clinic.offices):
            raise ValueError(_no_such(value))
        if name == "patient":
            if value is None and not (kind.name == APPOINTMENTS and _boolean(given.get("appt_is_break", False))):
                raise ValueError("This field may not be null.")
            if value is not None and self._clinic.store.get(PATIENTS, value) is None:
                raise ValueError(_no_such(value))
        return value

    def _refuse_overlap(self, fields: Fields, key: str | None) -> None:
        if fields.get("allow_overlapping"):
            return
        other = self._clinic.store.overlapping(fields, key)
        if other is not None:
            raise RefusedError(409, [f"Appointment overlaps with [{other.key}]"])


def _typed(value: Any, empty: Any) -> Any:
    """Return the value if its type matches that of the empty record. Numbers may be given as text."""
    if isinstance(empty, dict):
        if not isinstance(value, dict):
            raise ValueError("Expected a dictionary.")
        return {**empty, **value}
    if isinstance(empty, list) and not isinstance(value, list):
        raise ValueError("Expected a list of items.")
    if isinstance(empty, str):
        if value is None:
            raise ValueError("This field may not be null.")
        if isinstance(value, (dict, list, bool)):
            raise ValueError("Not a valid string.")
        return str(value)
    return value


def _no_such(value: Any) -> str:
    return f'Invalid pk "{value}" - object does not exist.'


def _integer(value: Any) -> int | None:
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lstrip("-").isdecimal():
        return int(value)
    raise ValueError("A valid integer is required.")


def _boolean(value: Any) -> bool:
    return value if isinstance(value, bool) else str(value).lower() in ("true", "1", "on")


def _local_time(value: Any) -> str:
    problem = "Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss]."
    return _parsed(lambda text: datetime.fromisoformat(text).replace(tzinfo=None), value, problem)


def _parsed(parse: Callable[[str], date], value: Any, problem: str) -> str:
    try:
        return parse(value).isoformat()
    except (TypeError, ValueError):
        raise ValueError(problem) from None
