"""One run of a job: what it works with, what it has done, and why it stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from shared.drchrono.kinds import Kind
from shared.drchrono.records import Page
from shared.errors import (
    BulkExpired,
    BulkNotReady,
    LeaseLost,
    MalformedAnswer,
    QuotaExhausted,
    ServerError,
    SyncError,
    Throttled,
    TokenError,
    Unauthorized,
    Unreachable,
)
from shared.jobs.checkpoints import Checkpoints
from shared.jobs.leases import Lease, Leases
from shared.jobs.seen import Seen
from shared.queue.work_queue import WorkQueue
from shared.records.refresh import Refresh
from shared.records.store import Records


class Lists(Protocol):
    """Of `shared.drchrono.client.DrChrono`: walking the lists of changes."""

    def list_changed(
        self,
        kind: Kind,
        *,
        since: str | None,
        window: tuple[str, str] | None = None,
        resume: Mapping[str, Any] | None = None,
        bulk: bool = True,
        archived: bool = False,
    ) -> Iterator[Page]: ...


class Stopped(Exception):
    """The run ends here and the next goes on.

    reason: `deadline`, `quota`, `revoked`, `token`, `waiting` (for a list that is being made), `unavailable`,
    `running` (another run is at it), `restarted` (somebody began the job anew) or `mass_deletion`.
    position: where a list goes on that was not ready.
    """

    def __init__(self, reason: str, position: Mapping[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.position = position


@dataclass(frozen=True)
class Parts:
    """What the jobs work with; one for the life of an instance. events: refreshes with the live share of the quota."""

    lists: Lists
    events: Refresh
    children: Refresh
    records: Records
    queue: WorkQueue
    checkpoints: Checkpoints
    leases: Leases
    seen: Seen
    now: Callable[[], datetime]
    random: Callable[[], float]


@dataclass
class Run:
    """deadline (UTC): no new page or entry is begun after it."""

    parts: Parts
    deadline: datetime
    counts: Counter[str] = field(default_factory=Counter)
    _held: list[Lease] = field(default_factory=list, init=False)

    @contextmanager
    def hold(self, name: str) -> Iterator[Lease]:
        """Keep other runs of `name` away for the block. Raises LeaseLost where one is at it."""
        with self.parts.leases.hold(name) as lease:
            self._held.append(lease)
            try:
                yield lease
            finally:
                self._held.remove(lease)

    def renew(self) -> None:
        """Raises Stopped("running") where another run has taken this one for dead, and gone on."""
        try:
            for lease in self._held:
                lease.renew()
        except LeaseLost:
            raise Stopped("running") from None

    def check(self) -> None:
        """Before each page and entry. Raises Stopped."""
        self.renew()
        if self.parts.now() >= self.deadline:
            raise Stopped("deadline")


@contextmanager
def stops() -> Iterator[None]:
    """What ends a run though nothing is wrong with the work itself, as Stopped."""
    try:
        yield
    except BulkNotReady as error:
        raise Stopped("waiting", error.position) from None
    except SyncError as error:
        reason = stop_reason(error)
        if reason is None:
            raise
        raise Stopped(reason) from None


def stop_reason(error: SyncError) -> str | None:
    """Why `error` ends the whole run, or None where it concerns one target only."""
    if isinstance(error, QuotaExhausted | Throttled):
        return "quota"
    if isinstance(error, TokenError):
        return "revoked" if error.reason in ("token_revoked", "token_missing") else "token"
    if isinstance(error, Unauthorized):
        return "token"  # the new one was refused as well
    if isinstance(error, ServerError | Unreachable | MalformedAnswer | BulkExpired):
        return "unavailable"
    return None
