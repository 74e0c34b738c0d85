"""The status on one screen of 80 columns."""

from __future__ import annotations

from datetime import datetime

from rich.table import Table
from rich.text import Text

from ops.screen import BAD, DIM, GOOD, Screen, ago, clock, duration, many, table
from ops.status import JobStatus, KindStatus, Status, Unknown
from ops.target_system import TargetSystem
from shared.rate_limit.state import QuotaState
from shared.tokens.report import TokenReport
from shared.tokens.state import Phase

_TOKEN_STATES = {
    Phase.OK: "",
    Phase.SENT: ", a refresh has no end yet",
    Phase.REFUSED: ", DrChrono refuses the client id or secret",
    Phase.REVOKED: ", and cannot be refreshed",
    Phase.LOST: ", and cannot be refreshed",
}


def show_status(screen: Screen, status: Status, target: TargetSystem) -> None:
    screen.say(f"DrChrono's copy: {status.target}, {clock(status.at)}", "bold")
    screen.say()
    screen.show(_kinds(status))
    _problems(screen, status, target)
    screen.say("Lag: from webhook to stored record, over the last day, without what is pending.", DIM)
    screen.say()
    if status.pending:
        screen.show(_pending(status))
    screen.show(_rest(status, target))


def _kinds(status: Status) -> Table:
    shown = table(
        "kind", "records", "deleted", "complete up to", "pending", "lag p50", "p95",
        right=("records", "deleted", "pending", "lag p50", "p95"),
    )  # fmt: skip
    for kind in status.kinds:
        lag = kind.lag
        shown.add_row(
            kind.name,
            f"{kind.records:,}",
            f"{kind.deleted:,}",
            _complete(kind, status.at),
            f"{kind.pending:,}",
            duration(lag.p50) if lag else "-",
            duration(lag.p95) if lag else "-",
        )
    return shown


def _complete(kind: KindStatus, now: datetime) -> str | Text:
    if kind.deletions_held_since:
        return Text("deletions held", BAD)
    if kind.problems:
        return Text(next(iter(kind.problems.values()))["reason"], BAD)
    if kind.backfill:
        return f"backfill {kind.backfill.share:.0%}"
    if kind.by_patient:
        return "by patient"
    if kind.complete_at:
        return ago(kind.complete_at, now)
    if kind.filled_at:
        return "after next sync"
    return "only in part" if kind.backfilled_at else "no backfill yet"


def _problems(screen: Screen, status: Status, target: TargetSystem) -> None:
    """What keeps a kind from being complete, since when, and what is done about it."""
    for kind in status.kinds:
        for job, problem in sorted(kind.problems.items()):
            failed = f"{job} failed {many(problem['attempts'], 'time')} since {ago(problem['since'], status.at)}"
            again = duration(max(0.0, (problem["retry_at"] - status.at).total_seconds()))
            screen.say(f"{kind.name}: {failed} ({problem['reason']}); it is tried again in {again}.", BAD)
        held_since = kind.deletions_held_since
        if held_since is not None:
            screen.say(f"{kind.name}: so many are absent since {ago(held_since, status.at)} that none is deleted.", BAD)
            command = target.command(f"accept-deletions {kind.name}")
            screen.command("Look into DrChrono; if they are deleted there:", command)


def _pending(status: Status) -> Table:
    shown = table("pending, by reason", "entries", "oldest", right=("entries",))
    for row in status.pending:
        shown.add_row(row.reason, f"{row.count:,}", ago(row.oldest, status.at))
    shown.add_row()
    return shown


def _rest(status: Status, target: TargetSystem) -> Table:
    shown = table("", "")
    shown.show_header = False
    if not status.pending:
        sound = not any(kind.problems or kind.deletions_held_since for kind in status.kinds)
        whole = sound and all(kind.by_patient or (kind.complete_at and not kind.backfill) for kind in status.kinds)
        shown.add_row("pending", Text("nothing: the copy is complete", GOOD) if whole else "nothing")
    shown.add_row("token", _token(status.token, target))
    shown.add_row("quota", _quota(status.quota, status.at))
    shown.add_row("dead letters", _dead_letters(status.dead_letters, target))
    for job in status.jobs:
        shown.add_row(job.name, _job(job, status.at))
    return shown


def _token(token: TokenReport | Unknown, target: TargetSystem) -> str | Text:
    if isinstance(token, Unknown):
        return _unknown(token)
    left = token.expires_in_seconds
    life = f"good for {duration(left)} (until {clock(token.expires_at)})" if left > 0 else "expired"
    said = f"{life}, {duration(token.age_seconds)} old{_TOKEN_STATES[Phase(token.state)]}"
    if Phase(token.state).final:
        return Text(f"{said}: {target.command('authorize')}", BAD)
    return Text(said, BAD) if left < 0 or token.state != Phase.OK else said


def _quota(quota: QuotaState | Unknown, now: datetime) -> str | Text:
    if isinstance(quota, Unknown):
        return _unknown(quota)
    used = ", ".join(f"{each.used:,} of {each.limit:,} in {_window(each.seconds)}" for each in quota.windows)
    if quota.cooldown_until is None:
        return f"{used}; no cooldown"
    left = duration((quota.cooldown_until - now).total_seconds())
    return Text(f"{used}; DrChrono refuses all requests for {left} more", BAD)


def _window(seconds: int) -> str:
    return {1: "a second", 60: "a minute", 3600: "an hour", 86400: "a day"}.get(seconds, f"{seconds} s")


def _dead_letters(count: int | Unknown, target: TargetSystem) -> str | Text:
    if isinstance(count, Unknown):
        return _unknown(count)
    if not count:
        return "none"
    return Text(f"at least {many(count, 'message')}: {target.command('dead-letters')}", BAD)


def _job(job: JobStatus, now: datetime) -> str:
    if job.running_since is not None:
        return f"running for {duration((now - job.running_since).total_seconds())}"
    if job.ended is None:
        return "has not run"
    if job.seconds is None:
        return ago(job.ended, now)
    end = f"stopped by {job.stopped}" if job.stopped else "finished"
    return f"{ago(job.ended, now)}, {end} after {duration(job.seconds)}"


def _unknown(unknown: Unknown) -> Text:
    return Text(unknown.why, BAD)
