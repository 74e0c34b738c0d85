"""What the copy states about its own completeness: the documents `sync_status/<kind>`. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from drchrono_reader.store import Document

COLLECTION = "sync_status"


@dataclass(frozen=True)
class Status:
    """What is known about one kind. None means "not known", and never counts as "complete".

    complete_until: every change made at DrChrono before this time (UTC) is in the copy. pending: how many records are
    known to be out of date. oldest_pending: since when the oldest of them is. problem: why the kind cannot be updated
    for now. coverage: whose records they are; the copy holds what the user who authorized it may see. last_full_pass:
    when the last complete listing began. count: how many records the copy holds.
    """

    kind: str
    complete_until: datetime | None = None
    pending: int | None = None
    oldest_pending: datetime | None = None
    problem: Any = None
    coverage: Any = None
    last_full_pass: datetime | None = None
    count: int | None = None

    def is_complete(self, *, at: datetime) -> bool:
        """Return whether every change made before `at` (aware) is in the copy, of what the user may see."""
        if at.tzinfo is None:
            raise ValueError("`at` needs a time zone")
        until = self.proven_until
        return until is not None and at <= until

    @property
    def proven_until(self) -> datetime | None:
        """`complete_until`, but not later than the oldest pending change. None if either is not known.

        The writer already bounds `complete_until` by what is pending. A document that contradicts itself claims less.
        """
        if self.complete_until is None or self.pending is None:
            return None
        if self.pending == 0:
            return self.complete_until
        return None if self.oldest_pending is None else min(self.complete_until, self.oldest_pending)


def status_of(kind: str, document: Document | None) -> Status:
    """Return the readable fields of the document. The others are unknown."""
    found = document or {}
    return Status(
        kind=kind,
        complete_until=_instant(found.get("complete_until")),
        pending=_number(found.get("pending")),
        oldest_pending=_instant(found.get("oldest_pending")),
        problem=found.get("problem"),
        coverage=found.get("coverage"),
        last_full_pass=_instant(found.get("last_full_pass")),
        count=_number(found.get("count")),
    )


def _instant(value: object) -> datetime | None:
    return value if isinstance(value, datetime) and value.tzinfo is not None else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
