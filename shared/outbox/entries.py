"""Entries of the collection `outbox`, and the document that guards each target: their shape. Pure.

A program adds an entry (`shared.outbox.validation`); this system adds `state` and what else `to_document` writes. The
guard, `outbox_targets/<target>`, says which entry of a target was sent last. It is written in the same transaction as
the entry, and it has the last word: an entry that its program writes again, say because the first answer was lost,
has forgotten that it was sent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from shared.drchrono.ids import document_id, id_of
from shared.outbox.validation import Action, Complaints, Refused, Request, read_request

COLLECTION = "outbox"
TARGETS = "outbox_targets"

# How long what is done or rejected stays (Firestore's TTL removes it), and a guard that nobody needs any more.
KEPT = timedelta(days=30)


class State(StrEnum):
    """`new`: not looked at yet; a program need not write it."""

    NEW = "new"
    WAITING = "waiting"
    SENDING = "sending"
    UNKNOWN = "unknown"
    DONE = "done"
    REJECTED = "rejected"


ACTIVE = (State.WAITING, State.SENDING, State.UNKNOWN)


@dataclass(frozen=True)
class Entry:
    """key: the name of its document. target: what is sent one after another (`target_of`). requested_at: the order of
    entries of a target, then `key`. due: when to look at it again. fence: names the latest attempt. sent_at: when that
    was recorded; no request of it begins more than SEND_WITHIN later. before: a digest of the values that an update
    replaces, as the copy had them. known: ids of records that looked like the one to be created before it was sent.
    looks: how often DrChrono was searched. reason: the machine word for why it is where it is. record_id, version: the
    record and the `updated_at` that it got. differs: what of the fields the record that was found does not show.
    """

    key: str
    request: Request
    state: State
    target: str
    requested_at: datetime
    due: datetime
    reason: str = ""
    attempts: int = 0
    fence: str | None = None
    sent_at: datetime | None = None
    before: str | None = None
    known: tuple[str, ...] = ()
    looks: int = 0
    record_id: str | None = None
    version: str | None = None
    differs: tuple[str, ...] = ()
    complaints: Complaints = field(default_factory=dict)
    settled_at: datetime | None = None

    @property
    def settled(self) -> bool:
        return self.state in (State.DONE, State.REJECTED)

    @property
    def order(self) -> tuple[datetime, str]:
        return self.requested_at, self.key


@dataclass(frozen=True)
class Guard:
    """The latest entry of a target that was sent and may have arrived. The fields are those of the entry.

    past: the entries of the target that were done before, oldest first, each with its record.
    """

    entry: str
    state: State
    fence: str
    sent_at: datetime
    before: str | None = None
    known: tuple[str, ...] = ()
    record_id: str | None = None
    version: str | None = None
    past: tuple[tuple[str, str], ...] = ()


def target_of(request: Request) -> str:
    """A record, or what makes two creations look alike: of those, one is not sent before the other is settled."""
    if request.action is Action.UPDATE:
        return f"{request.kind}:{document_id(request.id or '')}"
    identity = json.dumps(identity_of(request.kind, request.fields))
    return f"{request.kind}:new:{hashlib.sha256(identity.encode()).hexdigest()[:32]}"


IDENTITY: Mapping[str, tuple[str, ...]] = {
    "patients": ("first_name", "last_name", "date_of_birth", "doctor"),
    "appointments": ("patient", "office", "doctor", "scheduled_time"),
}


def identity_of(kind: str, fields: Mapping[str, Any]) -> list[str]:
    """By what a created record is recognized, however DrChrono writes it: a text for each field of IDENTITY."""
    return [_plain(name, fields.get(name)) for name in IDENTITY[kind]]


def _plain(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name == "scheduled_time":
        return with_seconds(str(value))
    return " ".join(str(value).split()).casefold()


def with_seconds(local: str) -> str:
    """A local time as DrChrono shows it; anything else as it is."""
    try:
        return datetime.fromisoformat(local).replace(tzinfo=None).isoformat()
    except ValueError:
        return local


# What this system writes into an entry. `state` is in both lists: a program may write it as well.
OWN = frozenset(
    {"state", "target", "changed_at", "due", "reason", "attempts", "fence", "sent_at", "before", "known", "looks"}
    | {"record_id", "version", "differs", "complaints", "settled_at", "expires_at", "local_time", "requested_at"}
)


def to_document(entry: Entry, now: datetime) -> dict[str, Any]:
    """This system's fields; `fields` and what else the program wrote stay as they are.

    Every entry that was looked at has `due`: by that, the others are counted.
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
    """This system's fields of an entry that is no request."""
    requested_at = data.get("requested_at")
    return {
        "state": str(State.REJECTED),
        "target": "",
        "changed_at": now,
        "requested_at": requested_at if is_instant(requested_at) else now,
        "due": now,
        "reason": "invalid",
        "attempts": 0,
        "complaints": complaints,
        "settled_at": now,
        "expires_at": now + KEPT,
    }


def is_taken(data: Mapping[str, Any]) -> bool:
    """Whether this system has looked at the entry. What it wrote and cannot be read is looked at again."""
    return data.get("state") in (*map(str, ACTIVE), "done", "rejected") and is_instant(data.get("due"))


def from_document(key: str, data: Mapping[str, Any]) -> Entry | None:
    """The entry, None where it is new, or is not a request (it was rejected then)."""
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
            requested_at=_instant(data["requested_at"]),
            due=_instant(data["due"]),
            reason=str(data["reason"]),
            attempts=int(data["attempts"]),
            fence=_text(data["fence"]),
            sent_at=None if data["sent_at"] is None else _instant(data["sent_at"]),
            before=_text(data["before"]),
            known=tuple(map(str, data["known"])),
            looks=int(data["looks"]),
            record_id=id_of(data["record_id"]),
            version=_text(data["version"]),
            differs=tuple(map(str, data["differs"])),
            complaints={str(name): [str(text) for text in texts] for name, texts in data["complaints"].items()},
            settled_at=None if data["settled_at"] is None else _instant(data["settled_at"]),
        )
    except (Refused, KeyError, TypeError, ValueError, AttributeError):
        return None


def guard_to_document(guard: Guard, now: datetime) -> dict[str, Any]:
    return {
        "entry": guard.entry,
        "state": str(guard.state),
        "fence": guard.fence,
        "sent_at": guard.sent_at,
        "before": guard.before,
        "known": list(guard.known),
        "record_id": guard.record_id,
        "version": guard.version,
        "past": [{"entry": entry, "record_id": record} for entry, record in guard.past],
        # One that may still be needed stays until its entry is settled, or for a year.
        "expires_at": now + (KEPT if guard.state is State.DONE else timedelta(days=365)),
    }


def guard_of(data: Mapping[str, Any] | None) -> Guard | None:
    """None where nothing of the target was sent. Raises ValueError for one that cannot be read."""
    if data is None:
        return None
    try:
        return Guard(
            entry=str(data["entry"]),
            state=State(data["state"]),
            fence=str(data["fence"]),
            sent_at=_instant(data["sent_at"]),
            before=_text(data["before"]),
            known=tuple(map(str, data["known"])),
            record_id=id_of(data["record_id"]),
            version=_text(data["version"]),
            past=tuple((str(one["entry"]), str(one["record_id"])) for one in data["past"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError("not a guard") from error


def is_instant(value: object) -> bool:
    return isinstance(value, datetime) and value.tzinfo is not None


def _instant(value: Any) -> datetime:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise TypeError("not an instant")
    return value


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
