"""The content of the start page, from what was read. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from console import charts, history
from console.arrivals import Arrival
from console.history import Sample
from console.watch import Seen
from ops import status_text
from ops.lag import percentile
from ops.reasons import Meaning, meaning
from ops.screen import ago
from ops.status import KindStatus, Status, Unknown
from ops.status_text import Problem, StatusText
from shared.outbox.summary import Summary
from shared.queue.work_queue import Backlog
from shared.rate_limit.state import WindowState

MOST_ARRIVALS = 100


@dataclass(frozen=True)
class KindRow:
    kind: KindStatus
    complete: StatusText
    share: int | None  # per cent of a running backfill
    left: str  # what it still needs


@dataclass(frozen=True)
class PendingRow:
    backlog: Backlog
    age: str
    meaning: Meaning


@dataclass(frozen=True)
class OutboxRow:
    """age: since it was sent, or else requested. advice: what a person should do about it."""

    entry: Summary
    record: str
    age: str
    advice: str


@dataclass(frozen=True)
class Chart:
    """said: the same in words, for screen readers. marks: of delays. line, area: of requests. limit: its y,
    None if it is far above. began: the label of the left end.
    """

    said: str
    grid: list[charts.Grid]
    began: str
    marks: Sequence[charts.Mark] = ()
    line: str = ""
    area: str = ""
    limit: float | None = None


@dataclass(frozen=True)
class Overview:
    """verdict: the state in one line."""

    target: str
    at: datetime
    verdict: StatusText
    trouble: str
    problems: list[Problem]
    kinds: list[KindRow]
    pending: list[PendingRow]
    nothing_pending: StatusText
    facts: list[tuple[str, StatusText]]
    outbox: list[OutboxRow] | None  # None if no program may write
    arrivals: list[Arrival]
    delays: Chart
    requests: Chart


def overview(seen: Seen, status: Status, now: datetime) -> Overview:
    problems = [*status_text.problems(status), *_more_problems(status)]
    return Overview(
        target=status.target,
        at=status.at,
        verdict=_verdict(status, problems, seen.trouble),
        trouble=seen.trouble,
        problems=problems,
        kinds=[_kind_row(kind, status.at) for kind in status.kinds],
        pending=[PendingRow(row, ago(row.oldest, status.at), meaning(row.reason)) for row in status.pending],
        nothing_pending=status_text.nothing_pending(status),
        facts=_facts(status),
        outbox=_outbox(status),
        arrivals=list(reversed(seen.arrivals[-MOST_ARRIVALS:])),
        delays=_delays(seen.arrivals, now),
        requests=_requests(seen.samples, status, now),
    )


def _facts(status: Status) -> list[tuple[str, StatusText]]:
    """Return one line for each fact, also those of other capabilities."""
    return [
        ("token", status_text.token(status.token)),
        ("quota", status_text.quota(status.quota, status.at)),
        *([("outbox", status_text.outbox(status.outbox, status.at))] if status.outbox else []),
        *([("feed", status_text.feed(status.feed, status.at))] if status.feed is not None else []),
        *((f"job {job.name}", status_text.job(job, status.at)) for job in status.jobs),
    ]


def _outbox(status: Status) -> list[OutboxRow] | None:
    if status.outbox is None:
        return None
    return [
        OutboxRow(
            entry,
            f"{entry.kind}/{entry.record or 'new'}",
            ago(entry.since, status.at) if entry.since is not None else "?",
            status_text.outbox_advice(entry),
        )
        for entry in status.outbox.for_a_person
    ]


def _more_problems(status: Status) -> list[Problem]:
    """Return problems that affect every kind, or that wait for a person."""
    found = []
    for what, said, why in (
        ("token", status_text.token(status.token), "DrChrono is not asked for anything until:"),
        (
            "dead letters",
            status_text.dead_letters(status.dead_letters),
            "They could not be stored for hours. To see them:",
        ),
    ):
        if said.bad:
            found.append(Problem(f"{what}: {said.text}", why if said.command else "", said.command))
    return found


def _verdict(status: Status, problems: Sequence[Problem], trouble: str) -> StatusText:
    if trouble:
        return StatusText("Not up to date", bad=True)
    if problems:
        return StatusText("1 problem" if len(problems) == 1 else f"{len(problems)} problems", bad=True)
    backfilled = [kind.backfill.share for kind in status.kinds if kind.backfill]
    if backfilled:
        return StatusText(f"Backfill {min(backfilled):.0%}")
    incomplete = [kind for kind in status.kinds if not (kind.by_patient or kind.complete_at)]
    if incomplete:
        return StatusText(
            "Complete after the next sync" if all(kind.filled_at for kind in incomplete) else "No backfill yet"
        )
    if status.pending:
        waiting = f"{sum(row.count for row in status.pending):,} pending"
        return StatusText(
            waiting if any(meaning(row.reason).remedy for row in status.pending) else f"In order, {waiting}"
        )
    return StatusText("Complete", good=True)


def _kind_row(kind: KindStatus, now: datetime) -> KindRow:
    share = round(kind.backfill.share * 100) if kind.backfill and not kind.problems else None
    return KindRow(kind, status_text.complete(kind, now), share, status_text.left(kind))


def _delays(arrivals: Sequence[Arrival], now: datetime) -> Chart:
    found = [(one.stored_at, one.delay) for one in arrivals if one.delay is not None]
    shown = history.span(found[0][0] if found else None, now)
    slices = history.delays(found, now, shown)
    top = charts.decades(max((one.p95 for one in slices), default=1.0))
    seconds = sorted(delay for at, delay in found if now - at <= shown)
    said = "No record came by webhook."
    if seconds:
        half, most = (charts.seconds(percentile(seconds, share)) for share in (0.5, 0.95))
        said = f"p50 {half}, p95 {most} of {len(seconds):,} {'record' if len(seconds) == 1 else 'records'}"
    return Chart(said, charts.decade_grid(top), _began(shown), marks=charts.marks(slices, top))


def _requests(samples: Sequence[Sample], status: Status, now: datetime) -> Chart:
    """Return the chart of the window that is nearest to its limit."""
    window = _tightest(status)
    if window is None:
        return Chart("The quota is not known.", charts.grid(1), _began(history.LONG))
    shown = history.span(samples[0].at if samples else None, now)
    points = history.used(samples, window.seconds, now, shown)
    peak = max((value for _, value in points), default=0)
    top = charts.ceiling(max(peak, 1))
    near = window.limit <= 4 * top
    top = charts.ceiling(max(peak, window.limit)) if near else top
    each = status_text.window(window.seconds)
    return Chart(
        f"at most {peak:,} of {window.limit:,} in {each}; now {window.used:,}",
        charts.grid(top),
        _began(shown),
        line=charts.line(points, top),
        area=charts.area(points, top),
        limit=charts.height(window.limit, top) if near else None,
    )


def _tightest(status: Status) -> WindowState | None:
    if isinstance(status.quota, Unknown) or not status.quota.windows:
        return None
    return max(status.quota.windows, key=lambda window: (window.used / window.limit, window.seconds))


def _began(shown: timedelta) -> str:
    minutes = shown // timedelta(minutes=1)
    return "1 h ago" if minutes == 60 else f"{minutes} min ago"
