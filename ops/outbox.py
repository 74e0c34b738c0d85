"""`outbox` and `put`: list, retry, cancel and add writes to DrChrono."""

from __future__ import annotations

import json
import secrets
import string
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ops.screen import duration
from ops.target_system import TargetSystem
from shared.documents import Data
from shared.errors import SettingsError, SyncError
from shared.outbox import transitions
from shared.outbox.entries import ACTIVE, COLLECTION, KEPT, Entry, State
from shared.outbox.fields import WRITABLE
from shared.outbox.storage import Outbox
from shared.outbox.summary import Summary, summary_of
from shared.outbox.transitions import Superseded
from shared.outbox.validation import Refused, read_request
from shared.settings import writes

MOST_SHOWN = 100

# Together 20 seconds. Nearly every request takes less.
SENDING_LOOKS, SECONDS_BETWEEN_LOOKS = 40, 0.5

# As in the alert `outbox_unknown` (terraform/alerts.tf). By then a search should have proved whether the write arrived.
STUCK_AFTER = timedelta(minutes=10)

# The requesting program reads a rejection from its entry. The status also shows it for this long.
REJECTED_SHOWN = timedelta(days=1)


class OutboxError(SyncError):
    """The text says what cannot be done with an entry, and why."""

    reason = "outbox"


@dataclass(frozen=True)
class OutboxStatus:
    """counts: entries by state, without final states. unknown_since: since when the oldest entry is unknown; None if
    there is none. for_a_person: entries that no run settles, and those rejected within the last day.
    """

    counts: dict[str, int]
    unknown_since: datetime | None
    is_stuck: bool
    for_a_person: list[Summary]

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
    entries = outbox_of(target, now).entries
    unknown = entries.summaries(State.UNKNOWN, MOST_SHOWN)
    since = min((entry.since for entry in unknown if entry.since is not None), default=None)
    counts = {str(state): entries.count(state) for state in ACTIVE}
    looked = [*unknown, *entries.summaries(State.WAITING, MOST_SHOWN)]
    looked += entries.summaries(State.REJECTED, MOST_SHOWN, since=now - REJECTED_SHOWN)
    return OutboxStatus(
        counts,
        since,
        is_stuck=since is not None and now - since > STUCK_AFTER,
        for_a_person=[entry for entry in looked if entry.needs_a_person or is_stuck(entry, now)],
    )


def is_stuck(entry: Summary, now: datetime) -> bool:
    return entry.state is State.UNKNOWN and entry.since is not None and now - entry.since > STUCK_AFTER


def listed(outbox: Outbox, now: datetime) -> list[Summary]:
    """Return the unsettled entries, oldest first, and then the rejected ones that still have their content."""
    rejected = outbox.entries.summaries(State.REJECTED, MOST_SHOWN, since=now - KEPT)
    return [*outbox.entries.unseen(MOST_SHOWN), *outbox.entries.active(MOST_SHOWN), *rejected]


def document(outbox: Outbox, key: str) -> Data:
    """Return the whole entry. Its fields are patient data. Raises OutboxError."""
    found = outbox.entries.read(key)
    if found is None:
        raise OutboxError(f"there is no entry {key}: see `outbox list`")
    return found


def state_of(outbox: Outbox, key: str) -> State:
    """Raises OutboxError."""
    return summary_of(key, document(outbox, key)).state


def send_again(outbox: Outbox, key: str, now: datetime) -> State:
    """Make an unknown, rejected or postponed entry due now. Return its new state. Raises OutboxError."""
    data = document(outbox, key)
    entry = outbox.entries.get(key)
    if entry is None and summary_of(key, data).state is State.NEW:
        return State.NEW
    if entry is None:
        raise OutboxError(f"{key} is no request that can be sent: see `outbox show {key}`, and add a new entry")
    if entry.state in (State.SENDING, State.DONE):
        raise OutboxError(f"{entry.key} is {entry.state}: there is nothing to send again")
    return _changed(outbox, entry, lambda there: transitions.again(there, now))


def cancel(outbox: Outbox, key: str, now: datetime) -> State:
    """Reject a waiting or unknown entry, even if it cannot be read. Return its new state. Raises OutboxError.

    Does not undo a change that DrChrono already made.
    """
    state, entry = state_of(outbox, key), outbox.entries.get(key)
    if state in (State.SENDING, State.DONE, State.REJECTED) and (entry is not None or state is not State.SENDING):
        raise OutboxError(f"{key} is {state}: it cannot be cancelled")
    if entry is not None:
        return _changed(
            outbox, entry, lambda there: transitions.rejected(there, reason="cancelled", complaints={}, now=now)
        )
    try:
        outbox.clear(key)
    except Superseded:
        raise OutboxError(f"{key} changed meanwhile: look again") from None
    return State.REJECTED


def _changed(outbox: Outbox, entry: Entry, change: Callable[[Entry], Entry]) -> State:
    try:
        return outbox.change(entry, change, free=True).state
    except Superseded:
        raise OutboxError(f"{entry.key} changed meanwhile: look again") from None


def update_entry(kind: str, record: str, settings: Sequence[str], now: datetime) -> Data:
    """Return the entry for `put`. settings: `name=value`. Raises OutboxError if a field is invalid."""
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
    """Return the text itself if the field accepts text, otherwise the value that it has as JSON."""
    row = WRITABLE.get(kind, {}).get(name)
    if row is None or row.complaint(text) is None:
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def add(target: TargetSystem, data: Data) -> str:
    """Add an entry under a random name, and return the name."""
    key = "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(20))
    target.system.outbox_documents().transact(lambda transaction: transaction.set(f"{COLLECTION}/{key}", data))
    return key


def settled(outbox: Outbox, key: str) -> Entry | None:
    """Return the entry when it is no longer `sending`. The trigger or a sync may be sending it already."""
    entry = outbox.entries.get(key)
    for _ in range(SENDING_LOOKS):
        if entry is None or entry.state is not State.SENDING:
            break
        time.sleep(SECONDS_BETWEEN_LOOKS)
        entry = outbox.entries.get(key)
    return entry
