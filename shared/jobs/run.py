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
    DrChronoError,
    LeaseLost,
    SyncError,
)
from shared.jobs.checkpoint import Checkpoint
from shared.jobs.checkpoints import Checkpoints
from shared.jobs.health import Health
from shared.jobs.leases import Lease, Leases
from shared.jobs.seen import Seen
from shared.jobs.stopping import Stopped, is_unavailable
from shared.jobs.waiting import WaitingLimiter
from shared.log import log
from shared.outbox.work import Work
from shared.queue.work_queue import WorkQueue
from shared.records.absence import Absences
from shared.records.announcing import Feed
from shared.records.coverage import Coverages
from shared.records.refresh import Refresh
from shared.records.store import Records
from shared.records.zones import Zones


class Lists(Protocol):
    """The list methods of `shared.drchrono.client.DrChrono`."""

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

    def list_practice(
        self, kind: Kind, *, doctor: str | None = None, page_size: int, resume: Mapping[str, Any] | None = None
    ) -> Iterator[Page]: ...


@dataclass(frozen=True)
class Parts:
    """What the jobs of one run work with. events: refreshes at the live priority of the quota. children, lists: at the
    background priority. waiting: the rate limiter of these two, if it can wait.
    pass_requests_a_day: what the daily passes over the lists of the practice may cost; 0 for no limit.
    overlap: fetch the next page of a list while one is stored. outbox: None if no program may write.
    feed: None if changes are not announced.
    """

    lists: Lists
    events: Refresh
    children: Refresh
    records: Records
    queue: WorkQueue
    absences: Absences
    checkpoints: Checkpoints
    leases: Leases
    seen: Seen
    zones: Zones
    coverage: Coverages
    now: Callable[[], datetime]
    random: Callable[[], float]
    waiting: WaitingLimiter | None = None
    pass_requests_a_day: float = 0.0
    overlap: bool = False
    outbox: Work | None = None
    feed: Feed | None = None


Change = Callable[[Checkpoint], Checkpoint]


def change_checkpoint(parts: Parts, kind: Kind, change: Change) -> None:
    parts.checkpoints.change(kind.name, change)


@dataclass
class Run:
    """deadline (UTC): no page or entry is begun after it. unfinished: by job and kind, why it waits."""

    parts: Parts
    deadline: datetime
    counts: Counter[str] = field(default_factory=Counter)
    health: Health = field(default_factory=Health)
    unfinished: dict[tuple[str, str], str] = field(default_factory=dict)
    _held: list[Lease] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        if self.parts.waiting is not None:
            self.parts.waiting.wait_until(self.deadline, self.renew)

    @contextmanager
    def hold(self, name: str) -> Iterator[Lease]:
        """Hold the lease `name` for the block. Raises LeaseLost if another run has it."""
        with self.parts.leases.hold(name) as lease:
            self._held.append(lease)
            try:
                yield lease
            finally:
                self._held.remove(lease)

    def renew(self) -> None:
        """Renew the leases. Raises Stopped("running") if one expired and another run has taken it."""
        try:
            for lease in self._held:
                lease.renew()
        except LeaseLost:
            raise Stopped("running") from None

    def check(self) -> None:
        """Call before each page and entry. Raises Stopped."""
        self.renew()
        if self.parts.now() >= self.deadline:
            raise Stopped("deadline")

    def halfway(self) -> datetime:
        """Return the middle of the time that is left."""
        now = self.parts.now()
        return now + (self.deadline - now) / 2

    def may_try(self, job: str, kind: str) -> bool:
        """Whether `job` may continue with `kind` now. If not, the run reports why."""
        checkpoint = self.parts.checkpoints.get(kind)
        if checkpoint.may_try(job, self.parts.now()):
            return True
        self.unfinished[job, kind] = checkpoint.problems[job]["reason"]
        return False

    def finished(
        self,
        job: str,
        kind: Kind,
        done: Change,
        write: Callable[[Parts, Kind, Change], object] = change_checkpoint,
    ) -> None:
        """`job` has done all of `kind`, and any problem of it is over. done: gives the checkpoint after it.

        write: changes the checkpoint. `shared.jobs.status.publish` also tells the readers, in the same transaction.
        """
        write(self.parts, kind, lambda old: done(old).recovered(job))
        self.unfinished.pop((job, kind.name), None)

    def failed(self, job: str, kind: str, error: SyncError) -> None:
        """Like `postpone`. Raises Stopped if DrChrono is down."""
        self.postpone(job, kind, error)
        if is_unavailable(error):
            self.health.failed(kind, error)

    def postpone(self, job: str, kind: str, error: SyncError) -> None:
        """`job` cannot continue with `kind` for now. Its checkpoint stays, and the run continues with the next kind."""
        now = self.parts.now()
        changed = self.parts.checkpoints.change(kind, lambda old: old.failed(job, error.reason, now))
        self.unfinished[job, kind] = error.reason
        status = error.status if isinstance(error, DrChronoError) else None
        attempts = changed.problems[job]["attempts"]
        log("kind.failed", "ERROR", job=job, kind=kind, reason=error.reason, status=status or 0, attempt=attempts)
