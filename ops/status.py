"""`status`: how complete the copy is, what is pending and why, and the state of token, quota, jobs and dead letters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, TypeVar

from ops.coverage import CoverageStatus, coverage_status
from ops.dead_letters import dead_letters
from ops.feed import FeedStatus, feed_status
from ops.lag import Lag, lag
from ops.outbox import OutboxStatus, outbox_status
from ops.progress import Progress, left, progress
from ops.target_system import TargetSystem
from shared.documents import Documents, Where
from shared.drchrono.kinds import KINDS, Kind
from shared.errors import StoreUnavailable, SyncError
from shared.jobs.checkpoints import Checkpoints
from shared.jobs.leases import Leases
from shared.jobs.practice_strategies import strategy_of
from shared.jobs.remaining import Remaining
from shared.queue import work_queue
from shared.queue.work_queue import Backlog
from shared.rate_limit.state import QuotaState
from shared.records.absence import Absences
from shared.records.storable import META
from shared.records.store import Records
from shared.settings import ApiSettings, writes
from shared.tokens.report import TokenReport

T = TypeVar("T")

# Keyed by the name of the lease. Runs of sync also continue a backfill.
JOBS = {"sync": "sync", "backfill": "backfill-walk", "reconcile": "reconcile"}
# More are not counted, because each pull returns only a few.
MOST_DEAD_LETTERS = 100


@dataclass(frozen=True)
class KindStatus:
    """complete_at: up to when every change is known to be in the copy or pending; None before the sync that follows a
    backfill. backfilled_at: when the last completed backfill began. filled_at: when a complete walk over the kind
    ended. problems: by job, why it cannot continue with the kind for now (`Checkpoint.problems`). deletions_held_since:
    since when the deletions of the kind are held, because too many records are absent. by_patient:
    whether each patient's list has to be requested. left: what a running backfill or pass still needs.
    """

    name: str
    records: int
    deleted: int
    pending: int
    complete_at: datetime | None
    backfilled_at: datetime | None
    filled_at: datetime | None
    by_patient: bool
    problems: dict[str, dict[str, Any]]
    deletions_held_since: datetime | None
    backfill: Progress | None
    left: Remaining | None
    lag: Lag | None


@dataclass(frozen=True)
class JobStatus:
    """ended: end of the last completed run; None before the first. running_since: start of a run in progress. stopped:
    why the last run stopped early, or None. seconds: its duration; None if no report exists.
    """

    name: str
    ended: datetime | None
    running_since: datetime | None
    stopped: str | None
    seconds: float | None


@dataclass(frozen=True)
class Unknown:
    """Something that could not be determined, and why."""

    why: str


@dataclass(frozen=True)
class Status:
    """at: UTC. dead_letters: a lower bound. outbox: None if no program may write. feed: None if it is off."""

    target: str
    at: datetime
    coverage: CoverageStatus
    kinds: list[KindStatus]
    pending: list[Backlog]
    token: TokenReport | Unknown
    quota: QuotaState | Unknown
    dead_letters: int | Unknown
    jobs: list[JobStatus]
    outbox: OutboxStatus | None = None
    feed: FeedStatus | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def status(target: TargetSystem, now: datetime, *, with_lag: bool = True) -> Status:
    """with_lag: also measure the lag, which reads up to 300 documents per kind. Raises StoreUnavailable; anything else
    that fails becomes an Unknown in the result.
    """
    documents = target.system.documents()
    found = _or_unknown(lambda: target.system.api())
    api = None if isinstance(found, Unknown) else found
    return Status(
        target=target.name,
        at=now,
        coverage=coverage_status(documents, now),
        kinds=[kind_status(documents, kind, now, api=api, with_lag=with_lag) for kind in KINDS.values()],
        pending=target.system.queue().backlog(),
        token=_or_unknown(lambda: target.system.token_refresher().report()),
        quota=_or_unknown(lambda: target.system.rate_limiter().state()),
        dead_letters=_or_unknown(lambda: len(dead_letters(target).look(MOST_DEAD_LETTERS))),
        jobs=[_job(documents, name, lease, now) for name, lease in JOBS.items()],
        outbox=outbox_status(target, now) if writes(target.environ) else None,
        feed=feed_status(target, now),
    )


def _or_unknown(ask: Callable[[], T]) -> T | Unknown:
    try:
        return ask()
    except StoreUnavailable:
        raise
    except SyncError as error:
        return Unknown(str(error))


def kind_status(
    documents: Documents, kind: Kind, now: datetime, *, api: ApiSettings | None = None, with_lag: bool = True
) -> KindStatus:
    position = Checkpoints(documents).get(kind.name)
    stored = documents.count(kind.name)
    deleted = documents.count(kind.name, [Where(f"{META}.deleted", "==", True)])
    pending = documents.count(work_queue.COLLECTION, [Where("kind", "==", kind.name)])
    return KindStatus(
        name=kind.name,
        records=stored - deleted,
        deleted=deleted,
        pending=pending,
        complete_at=position.complete_at,
        backfilled_at=position.backfilled_at,
        filled_at=position.filled_at,
        by_patient=kind.listed_by == "patient" and strategy_of(position).by == "patient",
        problems=position.problems,
        deletions_held_since=_held_since(documents, kind, now),
        backfill=progress(kind.name, position),
        left=left(kind, position, pending, api),
        lag=lag(documents, kind.name, now) if with_lag else None,
    )


def _held_since(documents: Documents, kind: Kind, now: datetime) -> datetime | None:
    records, queue = Records(documents, lambda: now), work_queue.WorkQueue(documents, lambda: now)
    return Absences(documents, records, queue, lambda: now).held_since(kind)


def _job(documents: Documents, name: str, lease: str, now: datetime) -> JobStatus:
    last = Leases(documents, lambda: now, lambda: "").last(lease) or {}
    report = last.get("report") or {}
    running = bool(last.get("owner")) and last["until"] > now
    return JobStatus(
        name=name,
        ended=last.get("ended"),
        running_since=last["started"] if running else None,
        stopped=report.get("stopped"),
        seconds=report.get("seconds"),
    )
