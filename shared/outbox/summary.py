"""An entry as a list shows it: ids, words and times, whatever its document contains. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.drchrono.ids import id_of
from shared.outbox.entries import State, is_instant
from shared.outbox.entry_documents import is_taken, named

# Reasons that only a person can settle.
FOR_A_PERSON = frozenset({"ambiguous", "malformed", "malformed_guard"})


@dataclass(frozen=True)
class Summary:
    """record: the id of what was made or is to be changed. complaints: the names of the fields that have some. since:
    when it was sent, or else requested.
    """

    entry: str
    state: State
    reason: str
    kind: str
    action: str
    record: str | None
    requested_by: str
    requested_at: datetime | None
    sent_at: datetime | None
    attempts: int
    complaints: tuple[str, ...]

    @property
    def since(self) -> datetime | None:
        return self.sent_at or self.requested_at

    @property
    def needs_a_person(self) -> bool:
        waits_for_one = self.state in (State.WAITING, State.UNKNOWN) and self.reason in FOR_A_PERSON
        return waits_for_one or self.state is State.REJECTED


def summary_of(entry: str, data: Mapping[str, Any]) -> Summary:
    shown = named(data)
    reason, attempts, complaints = data.get("reason"), data.get("attempts"), data.get("complaints")
    return Summary(
        entry=entry,
        state=State(data["state"]) if is_taken(data) else State.NEW,
        reason=reason if isinstance(reason, str) else "",
        kind=shown.get("kind", "?"),
        action=shown.get("action", "?"),
        record=id_of(data.get("record_id")) or id_of(shown.get("id")),
        requested_by=shown.get("requested_by", "?"),
        requested_at=_instant(data.get("requested_at")),
        sent_at=_instant(data.get("sent_at")),
        attempts=attempts if isinstance(attempts, int) else 0,
        complaints=tuple(sorted(complaints)) if isinstance(complaints, Mapping) else (),
    )


def _instant(value: Any) -> datetime | None:
    return value if is_instant(value) else None
