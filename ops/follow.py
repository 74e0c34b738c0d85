"""`backfill`: starts it and watches it. The runs of `sync` in the cloud do the work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bars

from ops.progress import Progress, left, progress, said
from ops.screen import BAD, DIM, Screen, many
from ops.target_system import TargetSystem
from shared.drchrono.kinds import KINDS
from shared.jobs import backfill
from shared.jobs.checkpoint import Checkpoint
from shared.jobs.checkpoints import Checkpoints
from shared.jobs.leases import Leases
from shared.jobs.remaining import Remaining
from shared.jobs.run import Parts
from shared.jobs.watermark import EARLIEST

LOOK_SECONDS = 1.0
LINE_SECONDS = 10.0  # in a pipe, at most one line per kind in this time

# The reasons to stop a run of sync (`shared.jobs.run.Stopped`) that still hold at the next run.
HELD_UP = ("quota", "revoked", "token", "unavailable")


@dataclass(frozen=True)
class Begun:
    """Names of kinds. going: already running, and continued. done: completed before, and not repeated."""

    started: tuple[str, ...]
    going: tuple[str, ...]
    done: tuple[str, ...]


def begin(parts: Parts, kinds: Sequence[str], since: date | None) -> Begun:
    """Start the backfill of the kinds that never had one, or of all if a date says from when to repeat it.

    A running backfill continues, unless it was started with another date. So calling this twice does no harm.
    """
    positions = {name: parts.checkpoints.get(name) for name in kinds}
    going = tuple(name for name in kinds if _is_under_way(positions[name], since))
    done = tuple(name for name in kinds if since is None and name not in going and positions[name].backfilled_at)
    started = tuple(name for name in kinds if name not in going + done)
    backfill.start(parts, started, since or EARLIEST)
    return Begun(started, going, done)


def _is_under_way(position: Checkpoint, since: date | None) -> bool:
    if position.backfill is None:
        return False
    return since is None or position.backfill["since"] == since.isoformat()


def follow(
    screen: Screen,
    target: TargetSystem,
    kinds: Sequence[str],
    *,
    now: Callable[[], datetime],
    sleep: Callable[[float], None],
) -> bool:
    """Watch until these kinds are done, or can only wait.

    Return True, or False if a kind cannot be listed for now. Raises StoreUnavailable.
    """
    positions = Checkpoints(target.system.documents())
    leases = Leases(target.system.documents(), now, lambda: "")
    watched = [*kinds, *(KINDS["patients"].children if "patients" in kinds else ())]
    show = _Bars(screen) if screen.console.is_terminal else _Lines(screen)
    with show:
        while True:
            found = {name: positions.get(name) for name in watched}
            for name, position in found.items():
                remaining = left(KINDS[name], position, target.system.queue().count(name), target.system.api())
                show.update(name, _line(progress(name, position), remaining, leases.last("sync")), now())
            found = {name: found[name] for name in kinds}
            if not any(position.backfill and "backfill" not in position.problems for position in found.values()):
                break
            sleep(LOOK_SECONDS)
    return _summary(screen, target, found)


def _summary(screen: Screen, target: TargetSystem, found: dict[str, Checkpoint]) -> bool:
    problems = {name: position.problems.get("backfill") for name, position in found.items()}
    refused = {name: problem["reason"] for name, problem in problems.items() if problem}
    for name, reason in refused.items():
        screen.say(f"{name}: cannot be listed ({reason}) and is tried again: run {target.command('doctor')}", BAD)
    finished = [name for name in found if name not in refused]
    if finished:
        records = sum(target.system.documents().count(name) for name in finished)
        screen.say(f"Done: {many(records, 'record')} of {', '.join(finished)}.")
    checkpoints = Checkpoints(target.system.documents())
    children = [name for name in KINDS["patients"].children if checkpoints.get(name).reconciled_at is None]
    following = ", ".join([*children, *(["what waits in the work queue"] if target.system.queue().waiting() else [])])
    if following:
        screen.command(f"The next runs of sync go on with {following}. To see it:", target.command("status"))
    return not refused


@dataclass(frozen=True)
class _Line:
    """The line of a kind: its share (0-1), and a text."""

    share: float
    said: str


def _line(progress: Progress | None, left: Remaining | None, sync: dict[str, Any] | None) -> _Line:
    """sync: the last run's lease, whose report says what delays it."""
    if left is None:
        return _Line(1.0, "done")
    stopped = ((sync or {}).get("report") or {}).get("stopped")
    text = f"held up: {stopped}" if stopped in HELD_UP else said(left)
    if progress is None:
        return _Line(0.0, text)
    seen = f"{progress.done:,} of {progress.total:,}" if progress.total is not None else f"{progress.done:,} records"
    return _Line(progress.share, f"{seen}, {text}")


class _Lines:
    """In a pipe: prints a line when something has changed."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._said: dict[str, tuple[str, datetime]] = {}

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None: ...

    def update(self, kind: str, line: _Line, now: datetime) -> None:
        text = f"{line.share:4.0%}  {line.said}"
        before, at = self._said.get(kind, ("", now))
        waits = bool(before) and line.share < 1 and (now - at).total_seconds() < LINE_SECONDS
        if text != before and not waits:
            self._said[kind] = (text, now)
            self._screen.say(f"{kind:15} {text}")


class _Bars:
    """On a terminal: a bar for each kind."""

    def __init__(self, screen: Screen) -> None:
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=10),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[said]}", style=DIM),
            console=screen.console,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> _Bars:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def update(self, kind: str, line: _Line, now: datetime) -> None:
        if kind not in self._tasks:
            self._tasks[kind] = self._bars.add_task(f"{kind:15}", total=1.0, said="")
        self._bars.update(self._tasks[kind], completed=line.share, said=line.said)
