"""`outbox` and `put`: the writes that other programs asked for, their state, and what a person decides about them."""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ops.screen import duration
from ops.target_system import TargetSystem
from shared.documents import Data
from shared.errors import SettingsError, SyncError
from shared.outbox import transitions
from shared.outbox.entries import ACTIVE, COLLECTION, Entry, State
from shared.outbox.fields import WRITABLE
from shared.outbox.storage import Outbox
from shared.outbox.transitions import Blocked, Superseded
from shared.outbox.validation import Refused, read_request
from shared.settings import writes

MOST_SHOWN = 100

# As the alert (terraform/alerts.tf): by then, a search has had time to prove an absence.
STUCK_AFTER = timedelta(minutes=10)


class OutboxError(SyncError):
    """Says what cannot be done with an entry, and why."""

    reason = "outbox"


@dataclass(frozen=True)
class OutboxStatus:
    """counts: by state, of the states that are not final. unknown_since: since when the oldest unknown entry is
    unknown.
    """

    counts: dict[str, int]
    unknown_since: datetime | None
    is_stuck: bool

    def said(self, now: datetime) -> str:
        shown = [f"{count} {state}" for state, count in self.counts.items() if count]
        if self.unknown_since is not None:
            shown.append(f"the oldest unknown for {duration((now - self.unknown_since).total_seconds())}")
        return ", ".join(shown) or "nothing waits"


def outbox_of(target: TargetSystem, now: datetime) -> Outbox:
    """Raises SettingsError if no program may write."""
    if not writes(target.environ):
        raise SettingsError(
            ["Writing to DrChrono is off: name the writers in terraform (variable writers), or set DRCHRONO_WRITES=on."]
        )
    return Outbox(target.system.outbox_documents(), lambda: now)


def outbox_status(target: TargetSystem, now: datetime) -> OutboxStatus:
    outbox = outbox_of(target, now)
    unknown = outbox.all_in(State.UNKNOWN, MOST_SHOWN)
    since = min((entry.sent_at or entry.requested_at for entry in unknown), default=None)
    counts = {str(state): outbox.count(state) for state in ACTIVE}
    return OutboxStatus(counts, since, is_stuck=since is not None and now - since > STUCK_AFTER)


def listed(outbox: Outbox) -> list[Entry]:
    """Return the unsettled entries, oldest first, then the rejected ones."""
    return [*outbox.active(MOST_SHOWN), *outbox.all_in(State.REJECTED, MOST_SHOWN)]


def summary(entry: Entry) -> dict[str, Any]:
    """Return an entry without its content."""
    return {
        "entry": entry.key,
        "kind": entry.request.kind,
        "action": str(entry.request.action),
        "id": entry.record_id or entry.request.id,
        "state": str(entry.state),
        "reason": entry.reason,
        "requested_by": entry.request.requested_by,
        "requested_at": entry.requested_at,
        "sent_at": entry.sent_at,
        "attempts": entry.attempts,
        "complaints": sorted(entry.complaints),
    }


def document(outbox: Outbox, key: str) -> Data:
    """Return the whole entry. Its fields are patient data. Raises OutboxError."""
    found = outbox.read(key)
    if found is None:
        raise OutboxError(f"there is no entry {key}: see `outbox list`")
    return found


def entry_of(outbox: Outbox, key: str) -> Entry:
    """Raises OutboxError."""
    document(outbox, key)
    entry = outbox.get(key)
    if entry is None:
        raise OutboxError(f"{key} is no request that could be sent: see `outbox show {key}`, and add a new entry")
    return entry


def send_again(outbox: Outbox, entry: Entry, now: datetime) -> Entry:
    """Make an entry wait again that is unknown, rejected or postponed. Raises OutboxError."""
    if entry.state in (State.SENDING, State.DONE):
        raise OutboxError(f"{entry.key} is {entry.state}: there is nothing to send again")
    return _changed(outbox, entry, lambda there: transitions.again(there, now))


def cancel(outbox: Outbox, entry: Entry, now: datetime) -> Entry:
    """Reject an entry that waits or is unknown. This does not undo what DrChrono did. Raises OutboxError."""
    if entry.state not in (State.WAITING, State.UNKNOWN):
        raise OutboxError(f"{entry.key} is {entry.state}: it cannot be cancelled")
    return _changed(
        outbox, entry, lambda there: transitions.rejected(there, reason="cancelled", complaints={}, now=now)
    )


def _changed(outbox: Outbox, entry: Entry, change: Any) -> Entry:
    try:
        return outbox.change(entry, change, free=True)
    except (Blocked, Superseded):
        raise OutboxError(f"{entry.key} changed meanwhile: look again") from None


def update_entry(kind: str, record: str, settings: Sequence[str], now: datetime) -> Data:
    """Return the entry for `put`. settings: `name=value`. Raises OutboxError with what is wrong."""
    fields: dict[str, Any] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise OutboxError("write each field as name=value")
        fields[name] = _value(kind, name, value)
    data = {
        "kind": kind,
        "action": "update",
        "id": record,
        "fields": fields,
        "requested_by": "ops put",
        "requested_at": now,
    }
    try:
        read_request(data)
    except Refused as refused:
        wrong = "; ".join(f"{name}: {', '.join(texts)}" for name, texts in sorted(refused.complaints.items()))
        raise OutboxError(f"nothing was sent: {wrong}") from None
    return data


def _value(kind: str, name: str, text: str) -> Any:
    """Return a text if the field is one, otherwise the JSON value that it spells."""
    row = WRITABLE.get(kind, {}).get(name)
    if row is None or row.complaint(text) is None:
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def add(target: TargetSystem, data: Data) -> str:
    """Add an entry under a new name. Return the name."""
    key = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(20))
    target.system.outbox_documents().transact(lambda transaction: transaction.set(f"{COLLECTION}/{key}", data))
    return key
