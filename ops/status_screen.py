"""The status on one screen of 80 columns."""

from __future__ import annotations

from collections import defaultdict

from rich.table import Table
from rich.text import Text

from ops import status_text
from ops.coverage import show_coverage
from ops.screen import BAD, DIM, GOOD, Screen, ago, clock, duration, table
from ops.status import Status
from ops.status_text import StatusText
from ops.target_system import TargetSystem


def show_status(screen: Screen, status: Status, target: TargetSystem) -> None:
    screen.say(f"DrChrono's copy: {status.target}, {clock(status.at)}", "bold")
    show_coverage(screen, status.coverage, status.at)
    screen.say()
    screen.show(_kinds(status))
    _left(screen, status)
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
            _text(status_text.complete(kind, status.at)),
            f"{kind.pending:,}",
            duration(lag.p50) if lag else "-",
            duration(lag.p95) if lag else "-",
        )
    return shown


def _problems(screen: Screen, status: Status, target: TargetSystem) -> None:
    for problem in status_text.problems(status):
        screen.say(problem.said, BAD)
        if problem.command:
            screen.command(problem.why, target.command(problem.command))


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
        shown.add_row("pending", _text(status_text.nothing_pending(status)))
    shown.add_row("token", _text(status_text.token(status.token), target))
    shown.add_row("quota", _text(status_text.quota(status.quota, status.at)))
    shown.add_row("dead letters", _text(status_text.dead_letters(status.dead_letters), target))
    if status.outbox is not None:
        shown.add_row("outbox", _text(status_text.outbox(status.outbox, status.at), target))
    if status.feed is not None:
        shown.add_row("feed", _text(status_text.feed(status.feed, status.at), target))
    for job in status.jobs:
        shown.add_row(job.name, _text(status_text.job(job, status.at)))
    return shown


def _left(screen: Screen, status: Status) -> None:
    """Show what running backfills and passes still need. Kinds with the same text share a line."""
    kinds: defaultdict[str, list[str]] = defaultdict(list)
    for kind in status.kinds:
        if left := status_text.left(kind):
            kinds[left].append(kind.name)
    for left, names in kinds.items():
        screen.say(f"{', '.join(names)}: {left}.")


def _text(said: StatusText, target: TargetSystem | None = None) -> Text:
    """target: adds the command line of the suggested command, if there is one."""
    command = f": {target.command(said.command)}" if target and said.command else ""
    return Text(said.text + command, style=BAD if said.bad else GOOD if said.good else "")
