"""An entry as a document of the collection `outbox`, and back. Pure.

A program adds an entry (`shared.outbox.validation`). This system adds `state` and the other fields of `to_document`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.drchrono.ids import id_of
from shared.outbox.entries import KEPT, TAKEN, Entry, State, instant, is_instant, text
from shared.outbox.fields import WRITABLE
from shared.outbox.validation import LONGEST_NAME, Action, Complaints, Refused, read_request

# What this system writes into an entry. `state` is in both lists: a program may write it as well.
OWN = frozenset(
    {"state", "target", "changed_at", "due", "reason", "attempts", "fence", "sent_at", "before", "known", "looks"}
    | {"record_id", "version", "differs", "complaints", "settled_at", "expires_at", "emptied_at"}
    | {"local_time", "requested_at"}
)


def to_document(entry: Entry, now: datetime) -> dict[str, Any]:
    """Return this system's fields. `fields` and everything else that the program wrote stay unchanged.

    Every processed entry has `due`, so the others can be counted.
    """
    return {
        "state": str(entry.state),
        "target": entry.target,
        "changed_at": now,
        "requested_at": entry.requested_at,
        "due": entry.due,
        "reason": entry.reason,
        "attempts": entry.attempts,
        "fence": entry.fence,
        "sent_at": entry.sent_at,
        "before": entry.before,
        "known": list(entry.known),
        "looks": entry.looks,
        "record_id": entry.record_id,
        "version": entry.version,
        "differs": list(entry.differs),
        "complaints": {name: list(texts) for name, texts in entry.complaints.items()},
        "settled_at": entry.settled_at,
        "expires_at": entry.settled_at + KEPT if entry.settled_at is not None else None,
    }


def refusal_document(data: Mapping[str, Any], complaints: Complaints, now: datetime) -> dict[str, Any]:
    """Return this system's fields for an invalid entry."""
    return _without_request(data, now) | {
        "state": str(State.REJECTED),
        "due": now,
        "reason": "invalid",
        "complaints": complaints,
        "settled_at": now,
        "expires_at": now + KEPT,
    }


def malformed_document(data: Mapping[str, Any], complaints: Complaints, now: datetime, due: datetime) -> dict[str, Any]:
    """Return this system's fields for an entry that was sent and then made invalid by a change."""
    return _without_request(data, now) | {
        "state": str(State.UNKNOWN),
        "target": data["target"],  # by which it is found again
        "due": due,
        "reason": "malformed",
        "complaints": complaints,
    }


def _without_request(data: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    requested_at = data.get("requested_at")
    return {
        "target": "",
        "changed_at": now,
        "requested_at": requested_at if is_instant(requested_at) else now,
        "attempts": 0,
    }


# The fields that remain without content. The others hold what was sent, what DrChrono answered, or a program's
# mistakes.
_LASTING = {
    "state": str,
    "target": str,
    "changed_at": datetime,
    "requested_at": datetime,
    "due": datetime,
    "reason": str,
    "attempts": int,
    "sent_at": datetime,
    "record_id": str,
    "version": str,
    "settled_at": datetime,
}


def emptied(data: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Return the document of a settled entry without its content: who requested which record, and the result.

    This also removes the target of a creation, a digest of names and a birth date, which can be guessed.
    """
    kept = {name: data[name] for name, shape in _LASTING.items() if isinstance(data.get(name), shape)}
    if data.get("action") != Action.UPDATE:
        kept["target"] = ""
    return kept | named(data) | {"emptied_at": now}


def named(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return which record a program's entry is for, as far as it is valid, without content."""
    shown: dict[str, Any] = {}
    if data.get("kind") in WRITABLE:
        shown["kind"] = data["kind"]
    if data.get("action") in tuple(Action):
        shown["action"] = data["action"]
    if data.get("action") == Action.UPDATE and id_of(data.get("id")) is not None:
        shown["id"] = data["id"]
    program = data.get("requested_by")
    if isinstance(program, str) and 0 < len(program) <= LONGEST_NAME:
        shown["requested_by"] = program
    return shown


def is_request(data: Mapping[str, Any]) -> bool:
    try:
        read_request(data, own=OWN)
    except Refused:
        return False
    return True


def is_taken(data: Mapping[str, Any]) -> bool:
    """Whether this system has processed the entry. An entry with unreadable fields of ours is processed again."""
    return data.get("state") in TAKEN and is_instant(data.get("due"))


def from_document(key: str, data: Mapping[str, Any]) -> Entry | None:
    """Return the entry; None if it is new, invalid, or without content."""
    if not is_taken(data) or not data.get("target"):
        return None
    try:
        request = read_request(data, own=OWN)
        local = data.get("local_time")
        return Entry(
            key=key,
            request=request.at(local) if isinstance(local, str) else request,
            state=State(data["state"]),
            target=str(data["target"]),
            requested_at=instant(data["requested_at"]),
            due=instant(data["due"]),
            reason=str(data["reason"]),
            attempts=int(data["attempts"]),
            fence=text(data["fence"]),
            sent_at=None if data["sent_at"] is None else instant(data["sent_at"]),
            before=text(data["before"]),
            known=tuple(map(str, data["known"])),
            looks=int(data["looks"]),
            record_id=id_of(data["record_id"]),
            version=text(data["version"]),
            differs=tuple(map(str, data["differs"])),
            complaints={str(name): [str(text) for text in texts] for name, texts in data["complaints"].items()},
            settled_at=None if data["settled_at"] is None else instant(data["settled_at"]),
        )
    except (Refused, KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
