"""The steps of a local run after the authorization: backfill, webhooks, jobs, and the comparison with DrChrono."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from local.arrivals import Tail, event_text
from local.comparison import Difference, copied, differences
from local.control import Control, Failed, run_job
from local.events import POLL_SECONDS, Edits, make_edits
from local.feed import Take, change_text
from local.terminal import Bars, Stage, Terminal
from shared.documents import Where
from shared.drchrono.kinds import KINDS, Kind
from shared.jobs.checkpoint import Checkpoint
from shared.jobs.checkpoints import Checkpoints
from shared.jobs.remaining import remaining
from shared.queue.work_queue import COLLECTION as PENDING
from shared.wiring.system import System

BACKFILLED = tuple(kind for kind in KINDS.values() if kind.changes)

BAR_SECONDS = 0.25
SOON = timedelta(minutes=2)
WAIT_SECONDS = 1.0  # between two syncs while work is left


@dataclass
class Activity:
    """jobs_url: the address of `run_job`. changes: of the change feed."""

    terminal: Terminal
    system: System
    jobs_url: str
    changes: Take
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="job"))

    def backfill(self) -> None:
        """Complete the backfill, then sync until no entry of the work queue is due soon. Raises Failed.

        A backfill that an earlier run began continues; it does not start again.
        """
        began = time.monotonic()
        with self.terminal.bars() as show:
            if self._is_begun():
                self._watched(show, "sync")
            else:
                self._watched(show, "backfill")
            while self._is_walking() or self._is_due_soon():
                time.sleep(WAIT_SECONDS)
                self._watched(show, "sync")
            show(self._stages())
        waiting = self.system.queue().waiting()
        rest = f"{waiting} entries of the work queue are due later" if waiting else "nothing is pending"
        self.terminal.say(f"Backfilled in {time.monotonic() - began:.1f} s: {rest}.")

    def _watched(self, show: Bars, job: str) -> None:
        """Run the job in another thread, and show its progress meanwhile."""
        report = self._pool.submit(run_job, self.jobs_url, job)
        while not report.done():
            show(self._stages())
            time.sleep(BAR_SECONDS)
        report.result()

    def _positions(self) -> list[Checkpoint]:
        positions = Checkpoints(self.system.documents())
        return [positions.get(kind.name) for kind in BACKFILLED]

    def _is_begun(self) -> bool:
        return any(position.backfill or position.backfilled_at for position in self._positions())

    def _is_walking(self) -> bool:
        return any(position.backfill for position in self._positions())

    def _is_due_soon(self) -> bool:
        """Return whether an entry is due soon. Others wait for hours, such as records that DrChrono forbids."""
        soon = datetime.now(timezone.utc) + SOON
        return self.system.documents().count(PENDING, [Where("due", "<=", soon)]) > 0

    def _stages(self) -> Iterator[Stage]:
        documents = self.system.documents()
        positions = Checkpoints(documents)
        for kind in KINDS.values():
            stored = documents.count(kind.name)
            if kind.changes:
                position = positions.get(kind.name)
                done, total = _walked(position.backfill, finished=position.backfilled_at is not None)
            elif kind.whole:
                done, total = min(stored, 1), 1  # one list, in the first sync
            else:
                left = self.system.queue().count(kind.name, by="patient")
                total = max(documents.count("patients"), left, 1)
                done = total - left
            yield Stage(kind.name, done, total, f"{stored} records{self._left(kind, positions.get(kind.name))}")

    def _left(self, kind: Kind, position: Checkpoint) -> str:
        """Return what a running backfill or pass still needs; empty if it is not known."""
        api, queued = self.system.api(), self.system.queue().count(kind.name)
        left = remaining(kind, position, queued, api.quota, api.background_share)
        if left is None or left.requests is None or left.time is None:
            return ""
        return f", {left.requests} requests, {math.ceil(left.time / timedelta(minutes=1))} min left"

    def events(self, control: Control, edits: Edits) -> bool:
        """Make the edits at the practice and show their records arrive. Return whether each edit sent an event."""
        self.show_feed("  ")
        return make_edits(self.terminal, self.system.documents(), control, edits, lambda: self.show_feed("  "))

    def show_feed(self, before: str) -> None:
        """Print the messages of the change feed since the last call."""
        for change in self.changes():
            self.terminal.say(before + change_text(change), style="cyan")

    def settle(self, control: Control, seconds: float) -> list[Difference]:
        """Sync until the copy equals DrChrono's records, for at most `seconds`. Return the remaining differences.

        The queue may still hold entries that fetch a record once more, half a minute after its event.
        """
        deadline = time.monotonic() + seconds
        while True:
            run_job(self.jobs_url, "sync")
            differing = self.compare(control)
            if time.monotonic() > deadline or (not differing and not self._is_walking()):
                return differing
            time.sleep(WAIT_SECONDS)

    def compare(self, control: Control) -> list[Difference]:
        documents = self.system.documents()
        return [
            difference
            for kind in KINDS.values()
            for difference in differences(kind, control.truth(kind.name), copied(documents, kind))
        ]

    def summary(self, control: Control, differing: Sequence[Difference]) -> None:
        rows = [self._row(kind, control, differing) for kind in KINDS.values()]
        self.terminal.table(("kind", "DrChrono", "copy", "deleted", "equal"), rows)
        stats = control.stats()
        sent, made = stats["webhooks"]["delivered"], stats["webhooks"]["made"]
        self.terminal.say(
            f"{stats['requests']} requests used, {stats['throttled']} answered 429; {sent} of {made} webhooks delivered"
        )
        for difference in differing[:20]:
            self.terminal.say(f"  {difference}", style="red")
        if differing:
            self.terminal.say(f"The copy differs from the truth in {len(differing)} records.", style="bold red")
        else:
            self.terminal.say("The copy equals the truth.", style="bold green")

    def _row(self, kind: Kind, control: Control, differing: Sequence[Difference]) -> tuple[str, ...]:
        stored = self.system.documents().count(kind.name)
        living = len(copied(self.system.documents(), kind))
        wrong = sum(difference.kind == kind.name for difference in differing)
        truth = len(control.truth(kind.name))
        return kind.name, str(truth), str(living), str(stored - living), "no" if wrong else "yes"

    def keep_going(self, logs: Sequence[Path], sync_seconds: float, refresh_seconds: float) -> None:
        """Start the jobs as Cloud Scheduler does, until interrupted, and print each arrival from the functions' logs.

        Print failed jobs, and try them again.
        """
        due = {"sync": time.monotonic() + sync_seconds, "refresh-token": time.monotonic() + refresh_seconds}
        pause = {"sync": sync_seconds, "refresh-token": refresh_seconds}
        tails = [Tail(log) for log in logs]
        while True:
            self._show_new(tails, WAIT_SECONDS)
            for job in [job for job, at in due.items() if at <= time.monotonic()]:
                report = self._pool.submit(run_job, self.jobs_url, job)
                while not report.done():
                    self._show_new(tails, POLL_SECONDS)
                try:
                    self._show(report.result())
                except (Failed, OSError) as problem:
                    self.terminal.say(f"{job}: {problem}", style="red")
                due[job] = time.monotonic() + pause[job]

    def _show_new(self, tails: Sequence[Tail], seconds: float) -> None:
        """For `seconds`, print what the functions log."""
        deadline = time.monotonic() + seconds
        while True:
            for line in (line for tail in tails for line in tail.lines()):
                if said := event_text(line):
                    self.terminal.say(f"{_clock()} {said}")
            self.show_feed(f"{_clock()} ")
            if time.monotonic() >= deadline:
                return
            time.sleep(POLL_SECONDS)

    def _show(self, report: dict[str, Any]) -> None:
        """Show what a job did, if anything."""
        counts = {name: count for name, count in report.get("counts", {}).items() if count}
        if counts:
            words = ", ".join(f"{name} {count}" for name, count in counts.items())
            self.terminal.say(f"{_clock()} {report['job']}: {words}; pending {report['pending']}", style="dim")


def _clock() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")


def _walked(state: dict[str, Any] | None, *, finished: bool) -> tuple[int, int]:
    """Return how much of a backfill is done, and the total: date windows if it has several, else records."""
    if state is None:
        return int(finished), 1
    if state["all_windows"] > 1:
        return state["all_windows"] - len(state["windows"]), state["all_windows"]
    return state["done"], max(state["total"] or 0, state["done"], 1)
