"""The checkpoint of a kind: how far the jobs have come, and what changes on success and failure. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

# The pause between two attempts of a job at a failing kind.
FIRST_PAUSE = timedelta(minutes=2)
LONGEST_PAUSE = timedelta(hours=1)


@dataclass(frozen=True)
class Checkpoint:
    """How far the jobs are with one kind. Times are UTC.

    watermark: the newest `updated_at` that a completed sync has shown, in DrChrono's local time, bounded by the clock.
    next_watermark: the watermark after the next sync, if the list of the last sync had several pages; otherwise None.
    offsets: samples of the offset of these times from UTC (`shared.jobs.watermark.OffsetSample`).
    listed: how many records the last completed sync listed.
    synced_at: when the last completed sync began; for a kind that is listed whole, its last list.
    filled_at: when the first walk over everything ended that is proved to have missed no record; None before.
    complete_at: the time up to which the copy is complete, apart from the entries of the work queue; None until a sync
    has followed `filled_at`.
    sync, backfill, reconcile: the state of an unfinished walk, None between walks.
    backfilled_at, reconciled_at: when the last finished backfill or reconciliation began.
    strategy: by name, which lists of the practice DrChrono answers (`shared.jobs.practice_strategies`); None until it
    is known.
    pass_requests: how many requests the last pass over these lists cost.
    problems: by job (`sync`, `backfill`, `reconcile`), why it cannot continue with this kind: {reason, since, at,
    attempts, retry_at}. A job clears only its own problem.

    For a kind that is listed by patient, each pass sets three of these fields: `reconciled_at` to when it began,
    `filled_at` to when it ended, `complete_at` to the time up to which it is complete. Every list was read or queued
    between `complete_at` and `filled_at`.
    """

    watermark: str | None = None
    next_watermark: str | None = None
    offsets: list[dict[str, Any]] = field(default_factory=list)
    listed: int = 0
    synced_at: datetime | None = None
    filled_at: datetime | None = None
    complete_at: datetime | None = None
    sync: dict[str, Any] | None = None
    backfill: dict[str, Any] | None = None
    reconcile: dict[str, Any] | None = None
    backfilled_at: datetime | None = None
    reconciled_at: datetime | None = None
    strategy: str | None = None
    pass_requests: int = 0
    problems: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def problem(self) -> dict[str, Any] | None:
        """The problem that has lasted longest, None if there is none."""
        return min(self.problems.values(), key=lambda one: one["since"], default=None)

    def filled(self, now: datetime) -> Checkpoint:
        """Return the checkpoint after a complete walk that missed no record."""
        return replace(self, filled_at=self.filled_at or now)

    def may_try(self, job: str, now: datetime) -> bool:
        problem = self.problems.get(job)
        return problem is None or now >= problem["retry_at"]

    def failed(self, job: str, reason: str, now: datetime) -> Checkpoint:
        """Return the checkpoint with a problem of `job`. The pauses between its attempts grow."""
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

    def recovered(self, job: str) -> Checkpoint:
        return replace(self, problems={name: one for name, one in self.problems.items() if name != job})


@dataclass(frozen=True)
class Round:
    """The slow round over all patients. It continues after the patient `after`. `at` is when it last continued, `began`
    when it took its first patient.
    """

    after: str | None = None
    at: datetime | None = None
    began: datetime | None = None
