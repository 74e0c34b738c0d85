"""The status in words, as the screen and the console show it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from ops.outbox import OutboxStatus
from ops.screen import ago, clock, duration, many
from ops.status import JobStatus, KindStatus, Status, Unknown
from shared.rate_limit.state import QuotaState
from shared.tokens.report import TokenReport
from shared.tokens.state import Phase


@dataclass(frozen=True)
class Told:
    """bad: a person should look at it. good: everything is well. command: what to type after `python -m ops`."""

    text: str
    bad: bool = False
    good: bool = False
    command: str = ""


@dataclass(frozen=True)
class Problem:
    """why: introduces the command. command: typed after `python -m ops`. Both are empty if no action is needed."""

    said: str
    why: str = ""
    command: str = ""


_TOKEN_STATES = {
    Phase.OK: "",
    Phase.SENT: ", a refresh is unfinished",
    Phase.REFUSED: ", DrChrono refuses the client id or secret",
    Phase.REVOKED: ", and cannot be refreshed",
    Phase.LOST: ", and cannot be refreshed",
}


def complete(kind: KindStatus, now: datetime) -> Told:
    """Say until when the kind is complete, or why it is not."""
    if kind.deletions_held_since:
        return Told("deletions held", bad=True)
    if kind.problems:
        return Told(next(iter(kind.problems.values()))["reason"], bad=True)
    if kind.backfill:
        return Told(f"backfill {kind.backfill.share:.0%}")
    if kind.by_patient:
        return Told("by patient")
    if kind.complete_at:
        return Told(ago(kind.complete_at, now))
    if kind.filled_at:
        return Told("after next sync")
    return Told("only in part" if kind.backfilled_at else "no backfill yet")


def problems(status: Status) -> Iterator[Problem]:
    """Yield what keeps kinds from being complete, since when, and what is done about it."""
    for kind in status.kinds:
        for job, problem in sorted(kind.problems.items()):
            failed = f"{job} failed {many(problem['attempts'], 'time')} since {ago(problem['since'], status.at)}"
            again = duration(max(0.0, (problem["retry_at"] - status.at).total_seconds()))
            yield Problem(f"{kind.name}: {failed} ({problem['reason']}); it is tried again in {again}.")
        held_since = kind.deletions_held_since
        if held_since is not None:
            yield Problem(
                f"{kind.name}: too many are absent since {ago(held_since, status.at)}, so deletions are held.",
                "Look in DrChrono. If they are deleted there:",
                f"accept-deletions {kind.name}",
            )


def nothing_pending(status: Status) -> Told:
    """For an empty work queue: say whether the copy is complete."""
    sound = not any(kind.problems or kind.deletions_held_since for kind in status.kinds)
    whole = sound and all(kind.by_patient or (kind.complete_at and not kind.backfill) for kind in status.kinds)
    return Told("nothing: the copy is complete, of what the user may see", good=True) if whole else Told("nothing")


def outbox(outbox: OutboxStatus, now: datetime) -> Told:
    said = outbox.said(now)
    return Told(said, bad=True, command="outbox") if outbox.is_stuck else Told(said)


def token(token: TokenReport | Unknown) -> Told:
    if isinstance(token, Unknown):
        return _unknown(token)
    left = token.expires_in_seconds
    life = f"good for {duration(left)} (until {clock(token.expires_at)})" if left > 0 else "expired"
    said = f"{life}, {duration(token.age_seconds)} old{_TOKEN_STATES[Phase(token.state)]}"
    if Phase(token.state).final:
        return Told(said, bad=True, command="authorize")
    return Told(said, bad=left < 0 or token.state != Phase.OK)


def quota(quota: QuotaState | Unknown, now: datetime) -> Told:
    if isinstance(quota, Unknown):
        return _unknown(quota)
    used = ", ".join(f"{each.used:,} of {each.limit:,} in {window(each.seconds)}" for each in quota.windows)
    if quota.cooldown_until is None:
        return Told(f"{used}; no cooldown")
    left = duration((quota.cooldown_until - now).total_seconds())
    return Told(f"{used}; DrChrono refuses all requests for {left} more", bad=True)


def window(seconds: int) -> str:
    return {1: "a second", 60: "a minute", 3600: "an hour", 86400: "a day"}.get(seconds, f"{seconds} s")


def dead_letters(count: int | Unknown) -> Told:
    if isinstance(count, Unknown):
        return _unknown(count)
    if not count:
        return Told("none")
    return Told(f"at least {many(count, 'message')}", bad=True, command="dead-letters")


def job(job: JobStatus, now: datetime) -> Told:
    if job.running_since is not None:
        return Told(f"running for {duration((now - job.running_since).total_seconds())}")
    if job.ended is None:
        return Told("has not run")
    if job.seconds is None:
        return Told(ago(job.ended, now))
    end = f"stopped by {job.stopped}" if job.stopped else "finished"
    return Told(f"{ago(job.ended, now)}, {end} after {duration(job.seconds)}")


def _unknown(unknown: Unknown) -> Told:
    return Told(unknown.why, bad=True)
