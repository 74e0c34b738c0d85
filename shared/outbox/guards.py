"""The document that guards each target, `outbox_targets/<target>`: which entry of it was sent last. Pure.

It is written in the same transaction as the entry, and takes precedence: if a program writes an entry again, say
because the first answer was lost, the entry no longer says that it was sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.drchrono.ids import id_of
from shared.outbox.entries import KEPT, State, instant, text

COLLECTION = "outbox_targets"


class Unreadable(Exception):
    """The guard was changed by someone else, so it no longer says what was sent."""


@dataclass(frozen=True)
class Guard:
    """The latest entry of a target that was sent and may have arrived. The fields are those of the entry.

    past: the earlier entries of the target, oldest first, each with its record, or with "" if it is unknown whether the
    entry was done.
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
        # A guard that may still be needed stays until its entry is settled, or for a year.
        "expires_at": now + (KEPT if guard.state is State.DONE else timedelta(days=365)),
    }


def guard_of(data: Mapping[str, Any] | None) -> Guard | None:
    """Return None if nothing of the target was sent. Raises Unreadable."""
    if data is None:
        return None
    try:
        return Guard(
            entry=_name(data["entry"]),
            state=State(data["state"]),
            fence=str(data["fence"]),
            sent_at=instant(data["sent_at"]),
            before=text(data["before"]),
            known=tuple(map(str, data["known"])),
            record_id=id_of(data["record_id"]),
            version=text(data["version"]),
            past=tuple((str(one["entry"]), str(one["record_id"])) for one in data["past"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Unreadable("not a guard") from error


def _name(value: Any) -> str:
    """Of a document. Raises TypeError."""
    if not isinstance(value, str) or not value or "/" in value:
        raise TypeError("not a name")
    return value
