"""Tells whether DrChrono is down, from the successes and failures of one run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from shared.errors import SyncError, Unauthorized
from shared.jobs.stopping import Stopped

# If this many records of one kind fail in a row at their first read, the kind is failing, not the records.
FAILURES_IN_A_ROW = 5


@dataclass
class Health:
    """The health of DrChrono in one run. It counts as down only if two kinds fail without a success in between.

    failing: the kinds whose list or records have failed since the last success of any kind. unreadable: the kinds whose
    single records are no longer requested in this run.
    """

    failing: set[str] = field(default_factory=set)
    unreadable: set[str] = field(default_factory=set)
    _in_a_row: Counter[str] = field(default_factory=Counter)

    def listed(self) -> None:
        self.failing.clear()

    def record_answered(self, kind: str) -> None:
        self.failing.clear()
        del self._in_a_row[kind]

    def record_failed(self, kind: str, error: SyncError) -> None:
        """A record of `kind` could not be read at the first attempt. Raises Stopped if DrChrono is down."""
        self._in_a_row[kind] += 1
        if self._in_a_row[kind] >= FAILURES_IN_A_ROW:
            self.unreadable.add(kind)
            self.failed(kind, error)

    def failed(self, kind: str, error: SyncError) -> None:
        """A list of `kind` could not be read. Raises Stopped if DrChrono is down or refuses every token."""
        self.failing.add(kind)
        if len(self.failing) > 1:
            raise Stopped("token" if isinstance(error, Unauthorized) else "unavailable")
