"""An entry of the collection `outbox`: what a program requests, and its state. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from shared.outbox.validation import Complaints, Request

COLLECTION = "outbox"

# How long a settled entry keeps its content, and how long an unneeded guard is kept.
KEPT = timedelta(days=30)


class State(StrEnum):
    """`new`: not processed yet; a program need not write it."""

    NEW = "new"
    WAITING = "waiting"
    SENDING = "sending"
    UNKNOWN = "unknown"
    DONE = "done"
    REJECTED = "rejected"


ACTIVE = (State.WAITING, State.SENDING, State.UNKNOWN)
TAKEN = (*ACTIVE, State.DONE, State.REJECTED)


@dataclass(frozen=True)
class Entry:
    """key: the name of its document. target: entries with the same target are sent in sequence (`target_of`).
    requested_at: the order of entries of a target, then `key`. due: when to process it again. fence: names the latest
    attempt. sent_at: when that was recorded; no request of it begins more than SEND_WITHIN later. before: a digest of
    the values that an update replaces, as the copy had them. known: ids of records that looked like the one to be
    created before it was sent. looks: how often DrChrono was searched. reason: the machine word for why it is in this
    state. record_id, version: the record and the `updated_at` that it got. differs: the fields that the found record
    does not show as sent.
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


def is_instant(value: object) -> bool:
    return isinstance(value, datetime) and value.tzinfo is not None


def instant(value: Any) -> datetime:
    """Raises TypeError."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise TypeError("not an instant")
    return value


def text(value: Any) -> str | None:
    return None if value is None else str(value)
