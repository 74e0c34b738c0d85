"""The status in words, as the screen and the console show it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from ops.feed import FeedStatus
from ops.outbox import OutboxStatus
from ops.progress import said
from ops.screen import ago, clock, duration, many
from ops.status import JobStatus, KindStatus, Status, Unknown
from shared.outbox.entries import State
from shared.outbox.summary import Summary
from shared.rate_limit.state import QuotaState
from shared.tokens.report import TokenReport
from shared.tokens.state import Phase


@dataclass(frozen=True)
class StatusText:
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


def complete(kind: KindStatus, now: datetime) -> StatusText:
    """Say until when the kind is complete, or why it is not."""
    if kind.deletions_held_since:
        return StatusText("deletions held", bad=True)
    if kind.problems:
        return StatusText(next(iter(kind.problems.values()))["reason"], bad=True)
    if kind.backfill:
        return StatusText(f"backfill {kind.backfill.share:.0%}")
    if kind.complete_at:
        return StatusText(ago(kind.complete_at, now))
    if kind.by_patient:
        return StatusText("by patient")
    if kind.left:
        return StatusText("first pass")
    if kind.filled_at:
        return StatusText("after next sync")
    return StatusText("only in part" if kind.backfilled_at else "no backfill yet")


def left(kind: KindStatus) -> str:
    """Return what a running backfill or pass of the kind still needs; empty if none is running."""
    return said(kind.left) if kind.left and not kind.problems else ""


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


def nothing_pending(status: Status) -> StatusText:
    """For an empty work queue: say whether the copy is complete."""
    sound = not any(kind.problems or kind.deletions_held_since for kind in status.kinds)
    whole = sound and all(kind.by_patient or (kind.complete_at and not kind.backfill) for kind in status.kinds)
    return (
        StatusText("nothing: the copy is complete, of what the user may see", good=True)
        if whole
        else StatusText("nothing")
    )


def outbox(outbox: OutboxStatus, now: datetime) -> StatusText:
    text = outbox.said(now)
    return StatusText(text, bad=True, command="outbox") if outbox.is_stuck else StatusText(text)


_OUTBOX_ADVICE = {
    "malformed_guard": "what was sent for it cannot be read: look into DrChrono, then retry or cancel",
    "malformed": "it was sent, and changed afterwards: look into DrChrono, then cancel",
    "ambiguous": "others changed the record as well: look into DrChrono, then retry or cancel",
}


def outbox_advice(entry: Summary) -> str:
    """Return what a person should do about an entry."""
    if entry.state is State.REJECTED:
        wrong = f": {', '.join(entry.complaints)}" if entry.complaints else ""
        return f"nothing was written{wrong}; its program learns of it"
    return _OUTBOX_ADVICE.get(entry.reason, "it is searched for; look into DrChrono, then retry or cancel")


def feed(feed: FeedStatus, now: datetime) -> StatusText:
    return StatusText(feed.said(now), bad=True, command="doctor") if feed.is_late(now) else StatusText(feed.said(now))


def token(token: TokenReport | Unknown) -> StatusText:
    if isinstance(token, Unknown):
        return _unknown(token)
    left = token.expires_in_seconds
    life = f"good for {duration(left)} (until {clock(token.expires_at)})" if left > 0 else "expired"
    said = f"{life}, {duration(token.age_seconds)} old{_TOKEN_STATES[Phase(token.state)]}"
    if Phase(token.state).final:
        return StatusText(said, bad=True, command="authorize")
    return StatusText(said, bad=left < 0 or token.state != Phase.OK)


def quota(quota: QuotaState | Unknown, now: datetime) -> StatusText:
    if isinstance(quota, Unknown):
        return _unknown(quota)
    used = ", ".join(f"{each.used:,} of {each.limit:,} in {window(each.seconds)}" for each in quota.windows)
    if quota.cooldown_until is None:
        return StatusText(f"{used}; no cooldown")
    left = duration((quota.cooldown_until - now).total_seconds())
    return StatusText(f"{used}; DrChrono refuses all requests for {left} more", bad=True)


def window(seconds: int) -> str:
    return {1: "a second", 60: "a minute", 3600: "an hour", 86400: "a day"}.get(seconds, f"{seconds} s")


def dead_letters(count: int | Unknown) -> StatusText:
    if isinstance(count, Unknown):
        return _unknown(count)
    if not count:
        return StatusText("none")
    return StatusText(f"at least {many(count, 'message')}", bad=True, command="dead-letters")


def job(job: JobStatus, now: datetime) -> StatusText:
    if job.running_since is not None:
        return StatusText(f"running for {duration((now - job.running_since).total_seconds())}")
    if job.ended is None:
        return StatusText("has not run")
    if job.seconds is None:
        return StatusText(ago(job.ended, now))
    end = f"stopped by {job.stopped}" if job.stopped else "finished"
    return StatusText(f"{ago(job.ended, now)}, {end} after {duration(job.seconds)}")


def _unknown(unknown: Unknown) -> StatusText:
    return StatusText(unknown.why, bad=True)
