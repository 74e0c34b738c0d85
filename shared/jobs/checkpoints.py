"""How far the copy of each kind is known to be complete: one document `sync_state/<kind>` a kind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any

from shared.documents import Data, Documents, Transaction

# Between two attempts of a job at a kind that fails.
FIRST_PAUSE = timedelta(minutes=2)
LONGEST_PAUSE = timedelta(hours=1)


@dataclass(frozen=True)
class Checkpoint:
    """Where the jobs are with one kind.

    watermark: the newest `updated_at` that a completed sync has shown, in DrChrono's local time, or an earlier one.
    next_watermark: where the list of the last sync had several pages, what the watermark will be after the next one.
    aheads: what is known of the zone of these times (`shared.jobs.watermark.Ahead`). listed: how many records the last
    completed sync was shown.
    synced_at: when the last completed sync began (UTC): every change before it is in the copy or in the work queue.
    filled_at: when the first walk over everything ended that showed that no record was missed; None before.
    complete_at: the moment up to which the copy is known to be complete, apart from what is in the work queue; None
    until a sync has followed on `filled_at`.
    sync, backfill, reconcile: the checkpoint of a walk that is not finished, None between walks.
    Of a kind that is listed by patient, every patient's list was put in the work queue between complete_at and
    filled_at, and reconciled_at is when that began.
    backfilled_at: when the last finished backfill began. reconciled_at: the same of a reconciliation.
    way: how the lists of the practice are answered (`shared.jobs.practice_lists`), None while that is not known.
    pass_requests: what the last pass over them cost.
    problems: by job (`sync`, `backfill`, `reconcile`), why it cannot go on with this kind: {reason, since, at,
    attempts, retry_at}. A job clears its own only.
    """

    watermark: str | None = None
    next_watermark: str | None = None
    aheads: list[dict[str, Any]] = field(default_factory=list)
    listed: int = 0
    synced_at: datetime | None = None
    filled_at: datetime | None = None
    complete_at: datetime | None = None
    sync: dict[str, Any] | None = None
    backfill: dict[str, Any] | None = None
    reconcile: dict[str, Any] | None = None
    backfilled_at: datetime | None = None
    reconciled_at: datetime | None = None
    way: str | None = None
    pass_requests: int = 0
    problems: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def problem(self) -> dict[str, Any] | None:
        """The one that has lasted longest, None where all jobs go on."""
        return min(self.problems.values(), key=lambda one: one["since"], default=None)

    def filled(self, now: datetime) -> Checkpoint:
        """After a walk over everything that missed no record."""
        return replace(self, filled_at=self.filled_at or now)

    def may_try(self, job: str, now: datetime) -> bool:
        problem = self.problems.get(job)
        return problem is None or now >= problem["retry_at"]

    def failed(self, job: str, reason: str, now: datetime) -> Checkpoint:
        """With the problem of `job`: the pauses between its attempts grow."""
        before = self.problems.get(job)
        attempts = before["attempts"] + 1 if before else 1
        pause: timedelta = min(FIRST_PAUSE * 2 ** min(attempts - 1, 16), LONGEST_PAUSE)
        problem = {
            "reason": reason,
            "since": before["since"] if before else now,
            "at": now,
            "attempts": attempts,
            "retry_at": now + pause,
        }
        return replace(self, problems={**self.problems, job: problem})

    def mended(self, job: str) -> Checkpoint:
        return replace(self, problems={name: one for name, one in self.problems.items() if name != job})


@dataclass(frozen=True)
class Round:
    """The slow round over all patients: it goes on after the patient `after`; `at` is when it last did, `began` when it
    took its first patient.
    """

    after: str | None = None
    at: datetime | None = None
    began: datetime | None = None


class Checkpoints:
    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def get(self, kind: str) -> Checkpoint:
        return _position(self._documents.get(_path(kind)))

    def change(
        self,
        kind: str,
        change: Callable[[Checkpoint], Checkpoint],
        also: Callable[[Transaction, Checkpoint], object] = lambda transaction, changed: None,
    ) -> Checkpoint:
        """also: what follows from the changed checkpoint, in the same transaction."""

        def work(transaction: Transaction) -> Checkpoint:
            before = _position(transaction.get(_path(kind)))
            changed = change(before)
            also(transaction, changed)
            if changed != before:
                data = {name.name: getattr(changed, name.name) for name in fields(Checkpoint)}
                transaction.set(_path(kind), data)
            return changed

        return self._documents.transact(work)

    def status(self, kind: str) -> Data:
        """What readers are told of the kind (`shared.jobs.status`); empty where nothing is."""
        return self._documents.get(status_path(kind)) or {}

    def round(self) -> Round:
        found = self._documents.get(_path("round"))
        after, at, began = ((found or {}).get(name) for name in ("after", "at", "began"))
        return Round(
            after if isinstance(after, str) else None,
            at if isinstance(at, datetime) else None,
            began if isinstance(began, datetime) else None,
        )

    def set_round(self, value: Round) -> None:
        data = {"after": value.after, "at": value.at, "began": value.began}
        self._documents.transact(lambda transaction: transaction.set(_path("round"), data))


def status_path(kind: str) -> str:
    return f"sync_status/{kind}"


def _path(kind: str) -> str:
    return f"sync_state/{kind}"


def _position(data: dict[str, Any] | None) -> Checkpoint:
    """What of the document can be read; the rest counts as never done."""
    known: dict[str, Any] = {
        name: value for name, value in (data or {}).items() if isinstance(value, _TYPES.get(name, ()))
    }
    problems = known.get("problems", {})
    known["problems"] = {job: one for job, one in problems.items() if isinstance(one, dict) and one.keys() >= _PROBLEM}
    return Checkpoint(**known)


_TYPES: dict[str, tuple[type, ...]] = {
    "watermark": (str,),
    "next_watermark": (str,),
    "aheads": (list,),
    "listed": (int,),
    "synced_at": (datetime,),
    "filled_at": (datetime,),
    "complete_at": (datetime,),
    "sync": (dict,),
    "backfill": (dict,),
    "reconcile": (dict,),
    "backfilled_at": (datetime,),
    "reconciled_at": (datetime,),
    "way": (str,),
    "pass_requests": (int,),
    "problems": (dict,),
}
_PROBLEM = {"reason", "since", "at", "attempts", "retry_at"}
