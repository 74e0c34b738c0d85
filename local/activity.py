"""What a local run shows, step by step: authorization, backfill, webhooks, jobs, and the copy beside the truth."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from local.arrivals import Tail, row, told
from local.comparison import Difference, copied, differences
from local.control import Control, Failed, run_job
from local.terminal import Bars, Stage, Terminal
from main import System
from shared.documents import Where
from shared.drchrono.kinds import KINDS, Kind
from shared.jobs.checkpoints import Checkpoint, Checkpoints
from shared.queue.work_queue import COLLECTION as PENDING
from shared.records.storable import META

BACKFILLED = tuple(kind for kind in KINDS.values() if kind.changes)

LOOK_SECONDS = 0.05
BAR_SECONDS = 0.25
SOON = timedelta(minutes=2)
WAIT_SECONDS = 1.0  # between two syncs while something is left to do
ARRIVAL_SECONDS = 10.0  # an event that took longer was deferred, and the next sync fetches its record

DEED_SECONDS = 0.1  # a practice does not do everything at once, and one can see each arrive

# What happens at the practice, and how often: so that every event comes about that the form has for our kinds.
Deeds = tuple[tuple[str, Mapping[str, Any], int], ...]
_BOTH: Deeds = (
    ("create", {"kind": "patients"}, 3),
    ("change", {"kind": "patients"}, 7),
    ("create", {"kind": "appointments"}, 4),
    ("change", {"kind": "appointments"}, 9),
    ("lock", {}, 3),
    ("delete", {"kind": "appointments"}, 2),
)
DEEDS: Mapping[str, Deeds] = {
    # The guide has no event for a deletion: a complete pass finds it.
    "guide": (*_BOTH, ("change", {"kind": "clinical_notes"}, 4)),
    "live": (
        *_BOTH,
        ("lock", {"locked": False}, 2),
        *(
            (deed, {"kind": kind}, 2)
            for kind in ("medications", "problems", "allergies")
            for deed in ("create", "change")
        ),
    ),
}


@dataclass
class Awaited:
    """An event that was sent: `path` is the document it is about, `sent` the moment before the change (UTC)."""

    event: str
    path: str
    sent: datetime


@dataclass
class Story:
    """jobs_url: where run_job listens."""

    terminal: Terminal
    system: System
    jobs_url: str
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="job"))

    def backfill(self, since: date | None) -> None:
        """Run it to its end, and work the work queue off. since: None for all there is. Raises Failed.

        One that an earlier run has begun, or ended, is not begun again.
        """
        began = time.monotonic()
        with self.terminal.bars() as show:
            if self._is_begun():
                self._watched(show, "sync")
            else:
                self._watched(show, "backfill", **({"since": since.isoformat()} if since else {}))
            while self._is_walking() or self._is_due_soon():
                time.sleep(WAIT_SECONDS)
                self._watched(show, "sync")
            show(self._stages())
        waiting = self.system.queue().waiting()
        rest = f"{waiting} entries of the work queue wait for later" if waiting else "nothing is pending"
        self.terminal.say(f"Backfilled in {time.monotonic() - began:.1f} s: {rest}.")

    def _watched(self, show: Bars, job: str, **more: str) -> None:
        """The job runs in a thread, so that this one can watch it."""
        report = self._pool.submit(run_job, self.jobs_url, job, **more)
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
        """Whether it is worth waiting here. What DrChrono forbids, say, is tried again tomorrow."""
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
            else:
                left = self.system.queue().count(kind.name, by="patient")
                total = max(documents.count("patients"), left, 1)
                done = total - left
            yield Stage(kind.name, done, total, f"{stored} records")

    def events(self, control: Control, deeds: Deeds) -> bool:
        """Let things happen at the practice, and show each record as it arrives. Whether each deed made an event."""
        awaited: list[Awaited] = []
        all_announced = True
        for deed, fields, times in deeds:
            for _ in range(times):
                sent = datetime.now(timezone.utc)
                done = control.do(deed, **fields)
                if done and done["event"]:
                    awaited.append(Awaited(done["event"], f"{done['kind']}/{done['id']}", sent))
                elif done:
                    name = f"{done['kind']}/{done['id']}"
                    self.terminal.say(f"  {row('(no event)', name, 'found by reconciling')}", style="dim")
                    all_announced = False
                awaited = self._arrived_within(DEED_SECONDS, awaited)
        for one in self._arrived_within(ARRIVAL_SECONDS, awaited):
            self.terminal.say(f"  {row(one.event, one.path, 'deferred to the next sync')}", style="yellow")
        return all_announced

    def _arrived_within(self, seconds: float, awaited: list[Awaited]) -> list[Awaited]:
        """Those that have not. Where some have not, it takes this long."""
        deadline = time.monotonic() + seconds
        while awaited and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
            awaited = self._arrived(awaited)
        return awaited

    def _arrived(self, awaited: list[Awaited]) -> list[Awaited]:
        """Print those whose record was stored after they were sent; return the others."""
        found = self.system.documents().get_all(list({one.path for one in awaited}), [META]) if awaited else {}
        left = []
        for one in awaited:
            stored_at = found.get(one.path, {META: {}})[META].get("stored_at")
            if stored_at is None or stored_at < one.sent:
                left.append(one)
                continue
            milliseconds = (stored_at - one.sent).total_seconds() * 1000
            self.terminal.say(f"  {row(one.event, one.path, f'stored after {milliseconds:5.0f} ms')}")
        return left

    def settle(self, control: Control, seconds: float) -> list[Difference]:
        """Sync until the copy equals the truth, for so long at most. Returns what still differs.

        The queue may hold records that are fetched once more, half a minute after their event, to be certain.
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
        """What Cloud Scheduler does, until interrupted, and each arrival as the functions log it. A job that fails is
        said aloud, and tried again.
        """
        due = {"sync": time.monotonic() + sync_seconds, "refresh-token": time.monotonic() + refresh_seconds}
        pause = {"sync": sync_seconds, "refresh-token": refresh_seconds}
        tails = [Tail(log) for log in logs]
        while True:
            self._show_new(tails, WAIT_SECONDS)
            for job in [job for job, at in due.items() if at <= time.monotonic()]:
                report = self._pool.submit(run_job, self.jobs_url, job)
                while not report.done():
                    self._show_new(tails, LOOK_SECONDS)
                try:
                    self._tell(report.result())
                except (Failed, OSError) as problem:
                    self.terminal.say(f"{job}: {problem}", style="red")
                due[job] = time.monotonic() + pause[job]

    def _show_new(self, tails: Sequence[Tail], seconds: float) -> None:
        """For so long, print what the functions log."""
        deadline = time.monotonic() + seconds
        while True:
            for line in (line for tail in tails for line in tail.lines()):
                if said := told(line):
                    self.terminal.say(f"{_clock()} {said}")
            if time.monotonic() >= deadline:
                return
            time.sleep(LOOK_SECONDS)

    def _tell(self, report: dict[str, Any]) -> None:
        """Only what happened: nothing for a sync that found nothing to do."""
        counts = {name: count for name, count in report.get("counts", {}).items() if count}
        if counts:
            words = ", ".join(f"{name} {count}" for name, count in counts.items())
            self.terminal.say(f"{_clock()} {report['job']}: {words}; pending {report['pending']}", style="dim")


def _clock() -> str:
    return datetime.now().astimezone().strftime("%H:%M:%S")


def _walked(state: dict[str, Any] | None, *, finished: bool) -> tuple[int, int]:
    """How far a backfill is: date windows where it has several, else records."""
    if state is None:
        return int(finished), 1
    if state["all_windows"] > 1:
        return state["all_windows"] - len(state["windows"]), state["all_windows"]
    return state["done"], max(state["total"] or 0, state["done"], 1)
