"""Another program's request, validated before anything is sent: an outbox document as a `Request`. Pure.

A refusal names every field at once and repeats no value.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from shared.drchrono.ids import id_of
from shared.outbox.fields import REQUIRED, WRITABLE

Complaints = dict[str, list[str]]

# What a program writes into an entry. All other names are this system's (`shared.outbox.entries`).
ASKED = frozenset(
    {"kind", "action", "id", "fields", "expected_updated_at", "requested_by", "requested_at"}
    | {"allow_overlapping", "allow_duplicates", "state"}
)
LONGEST_NAME = 200  # characters of `requested_by`


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"


class Refused(Exception):
    """The entry cannot be sent. complaints: by the name of the field, what to do about it."""

    def __init__(self, complaints: Complaints) -> None:
        super().__init__(f"refused: {', '.join(sorted(complaints))}")
        self.complaints = complaints


@dataclass(frozen=True)
class Request:
    """id: of the record, for an update. fields: as DrChrono accepts them. scheduled_at: an instant that still has to
    become the local time of the doctor `fields["doctor"]`, or of the appointment that is updated.
    """

    kind: str
    action: Action
    id: str | None
    fields: Mapping[str, Any] = field(repr=False)
    requested_by: str
    expected_updated_at: str | None = None
    allow_overlapping: bool = False
    allow_duplicates: bool = False
    scheduled_at: datetime | None = None

    def at(self, local: str) -> Request:
        """Return the same request with `scheduled_at` as the local time `local`."""
        return replace(self, fields={**self.fields, "scheduled_time": local}, scheduled_at=None)


def read_request(data: Mapping[str, Any], *, own: frozenset[str] = frozenset()) -> Request:
    """Return the request in an outbox document. own: names of fields that this system adds. Raises Refused."""
    complaints: Complaints = {}
    kind, action = data.get("kind"), data.get("action")
    if not isinstance(kind, str) or kind not in WRITABLE:
        complaints["kind"] = [f"one of {', '.join(WRITABLE)}"]
    if not isinstance(action, str) or action not in tuple(Action):
        complaints["action"] = ["create or update"]
    for name in sorted(data.keys() - ASKED - own):
        complaints[_shown(name)] = ["no field of an entry: correct its name"]
    requested_by = data.get("requested_by")
    if not isinstance(requested_by, str) or not 0 < len(requested_by) <= LONGEST_NAME:
        complaints["requested_by"] = [f"the name of your program, of at most {LONGEST_NAME} characters"]
    for name in ("allow_overlapping", "allow_duplicates"):
        if not isinstance(data.get(name, False), bool):
            complaints[name] = ["give true or false"]
    if complaints.keys() & {"kind", "action"}:
        raise Refused(complaints)
    return _read(str(kind), Action(str(action)), data, complaints)


def _read(kind: str, action: Action, data: Mapping[str, Any], complaints: Complaints) -> Request:
    fields = data.get("fields")
    if not isinstance(fields, Mapping) or not fields:
        complaints["fields"] = ["an object with at least one field"]
        fields = {}
    scheduled_at = _scheduled_at(kind, fields, complaints)
    for name, value in fields.items():
        if (kind, name) != ("appointments", "scheduled_at") and (wrong := _complaint(kind, name, value)) is not None:
            complaints[_shown(name)] = [wrong]
    key = id_of(data.get("id"))
    expected = data.get("expected_updated_at")
    if action is Action.CREATE:
        complaints |= _missing(kind, fields)
        for name in ("id", "expected_updated_at"):
            if data.get(name) is not None:
                complaints[name] = ["only an update has it"]
    else:
        if key is None:
            complaints["id"] = ["the id of the record to update"]
        if expected is not None and not isinstance(expected, str):
            complaints["expected_updated_at"] = ["the updated_at of the record, as DrChrono sent it"]
    if complaints:
        raise Refused(complaints)
    return Request(
        kind=kind,
        action=action,
        id=key if action is Action.UPDATE else None,
        fields={name: value for name, value in fields.items() if name != "scheduled_at"},
        requested_by=data["requested_by"],
        expected_updated_at=expected,
        allow_overlapping=data.get("allow_overlapping", False),
        allow_duplicates=data.get("allow_duplicates", False),
        scheduled_at=scheduled_at,
    )


def _complaint(kind: str, name: str, value: Any) -> str | None:
    row = WRITABLE[kind].get(name)
    if row is None:
        return f"not a field of {kind} that can be written"
    if value is None:
        return None if row.null else "null is not possible here"
    return row.complaint(value) or _not_json(value)


def _not_json(value: Any) -> str | None:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return "it holds something that JSON cannot"
    return None


def _missing(kind: str, fields: Mapping[str, Any]) -> Complaints:
    given = {"scheduled_time" if name == "scheduled_at" else name for name in fields}
    complaints = {name: ["it is required"] for name in REQUIRED[kind] if name not in given}
    if kind == "appointments" and fields.get("duration") is None and fields.get("profile") is None:
        complaints["duration"] = ["a duration in minutes, or a profile, is required"]
    return complaints


def _scheduled_at(kind: str, fields: Mapping[str, Any], complaints: Complaints) -> datetime | None:
    if "scheduled_at" not in fields or kind != "appointments":
        return None  # other kinds have no such field, so it is refused
    instant = fields["scheduled_at"]
    if isinstance(instant, str):
        try:
            instant = datetime.fromisoformat(instant)
        except ValueError:
            instant = None
    if not isinstance(instant, datetime) or instant.tzinfo is None:
        complaints["scheduled_at"] = ["a time with an offset, like 2026-03-10T09:00:00-05:00"]
        return None
    if "scheduled_time" in fields:
        complaints["scheduled_at"] = ["give this or scheduled_time, not both"]
    return instant


def local_time(instant: datetime, zone: str) -> str | None:
    """Return `instant` as local time in `zone` (`US/Eastern`), as DrChrono writes it; None for an unknown zone."""
    try:
        return instant.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%dT%H:%M:%S")
    except (
        KeyError,
        ValueError,
        OSError,
    ):  # ZoneInfoNotFoundError is a KeyError; a path out of the folder, a ValueError
        return None


def _shown(name: str) -> str:
    """Return a name that a program chose in a form that our documents can hold."""
    return "".join(letter if letter.isalnum() or letter in "_-" else "?" for letter in name)[:60] or "?"
