"""Injects faults into every dependency at once. At the end, the copy must equal DrChrono's records.

    python -m benchmarks.soak [--seconds 180] [--seed 1] [--form guide|live] [--short] [--json FILE] [--keep]

Exit code 0: every requirement is met. 1: at least one is not. The seed repeats the plan, the practice's changes and the
random faults. It cannot repeat how the processes are scheduled.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import sys
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TextIO

from benchmarks.report import Report
from benchmarks.soak import plan as planned
from benchmarks.soak.consumer import Consumer
from benchmarks.soak.plan import Act, plan
from benchmarks.soak.scheduler import Scheduler, word_of
from benchmarks.soak.stage import Stage, insist, on_stage
from benchmarks.soak.verdict import Run, judge, stored_twice
from benchmarks.soak.watch import LogLines, Trees, Watcher, simulator_failures
from benchmarks.soak.writers import Writers, unsettled, wrong
from local import options as local_options
from local.comparison import Difference, copied, differences
from local.control import Failed
from shared.drchrono.kinds import KINDS
from shared.feed.entries import COLLECTION as FEED
from shared.jobs.checkpoints import Checkpoints

# The guide allows 100 a minute. Minutes of the soak stand for hours of a practice.
QUOTA = "900/minute"
PATIENTS = 60
CHANGES_PER_SECOND = 2.5
SINCE = timedelta(days=400)  # the simulator's records are newer

SECONDS = 180.0

# After the last fault. The leases of a killed worker expire after two minutes, a record that lagged or failed is due
# again within one more, an unanswered write is settled in three, and a complete pass takes a minute in the live form.
SETTLE_SECONDS = 300.0

SHORT_SECONDS = 75.0  # five minutes in total, in the guide's form

BACKFILL_SECONDS = 300.0  # on an idle machine, it takes seconds


def fill(stage: Stage) -> None:
    """Run the first backfill to its end. Raises Failed."""
    since = (datetime.now(timezone.utc) - SINCE).date().isoformat()
    word_of(stage.jobs_url, "backfill", since=since)
    if settled(stage, BACKFILL_SECONDS) is None:
        raise Failed(f"the first backfill did not end: the logs are in {stage.folder}")


def settled(stage: Stage, seconds: float, *, reconcile: bool = False) -> float | None:
    """Sync until the copy equals DrChrono's records and nothing is pending. Return the seconds it took; None if it
    did not happen within `seconds`.

    reconcile: also require a complete pass over every kind.
    """
    began, asked = time.monotonic(), datetime.now(timezone.utc)
    while time.monotonic() - began < seconds:
        word_of(stage.jobs_url, "sync", force=True)
        if reconcile and not is_reconciled(stage, asked):
            word_of(stage.jobs_url, "reconcile")
        elif not waiting(stage) and not compare(stage):
            return time.monotonic() - began
        time.sleep(1)
    return None


def is_reconciled(stage: Stage, since: datetime) -> bool:
    positions = Checkpoints(stage.system.documents())
    ended = [positions.get(kind.name).reconciled_at for kind in KINDS.values() if kind.changes]
    return all(at is not None and at >= since for at in ended)


def waiting(stage: Stage) -> int:
    """Return how many entries of the work queue, outbox and feed, walks and first fillings are not finished."""
    documents = stage.system.documents()
    announced = ((documents.get("sync_state/feed") or {}).get("filled") or {}).keys()
    positions = [Checkpoints(documents).get(kind) for kind in KINDS]
    walks = sum((position.backfill or position.reconcile) is not None for position in positions)
    writes, unannounced = unsettled(stage.system.outbox_documents()), len(KINDS.keys() - announced)
    return stage.system.queue().waiting() + walks + writes + documents.count(FEED) + unannounced


def compare(stage: Stage) -> list[Difference]:
    documents = stage.system.documents()
    return [
        difference
        for kind in KINDS.values()
        for difference in differences(kind, stage.control.truth(kind.name), copied(documents, kind))
    ]


def disturb(stage: Stage, acts: list[Act]) -> list[tuple[Act, float]]:
    """Perform each act at its time, some of them concurrently. Return them with the times at which they ended."""
    began = time.monotonic()
    performed: list[tuple[Act, float]] = []

    def perform(act: Act) -> None:
        stage.perform(act)
        performed.append((act, time.monotonic()))

    with ThreadPoolExecutor(8, thread_name_prefix="act") as pool:
        futures: list[Future[None]] = []
        for act in acts:
            time.sleep(max(0.0, began + act.at - time.monotonic()))
            futures.append(pool.submit(perform, act))
    for future in futures:
        future.result()
    return sorted(performed, key=lambda done: done[1])


def calm(stage: Stage) -> float | None:
    """Stop all faults and changes. Return the seconds until the copy equals DrChrono's records, or None."""
    stage.control.do("activity", per_second=0)
    stage.control.do("faults", rules=[], replace=True)
    stage.control.do("visibility", hidden=[], only_doctor=None)
    stage.control.do("webhook", **planned.PERFECT_DELIVERY)
    began = time.monotonic()
    time.sleep(2 * planned.LONGEST_LAG_SECONDS)
    # The guide has no event for a deletion: a complete pass finds it.
    found = settled(stage, SETTLE_SECONDS, reconcile=True)
    return None if found is None else time.monotonic() - began


def soak(form: str, seed: int, seconds: float, folder: Path, say: TextIO) -> Report:
    """say: for progress."""
    asked = ["run", "--backend", "emulators", "--form", form, "--seed", str(seed), "--patients", str(PATIENTS)]
    options = local_options.read(
        local_options.parser().parse_args(asked), {"DRCHRONO_QUOTA": QUOTA, "DRCHRONO_WRITES": "on"}
    )
    with on_stage(options, folder) as stage:
        stage.authorize()
        stage.control.do("webhook", **planned.DELIVERY)
        insist(lambda: _verify(stage), Failed)
        stage.link()
        fill(stage)
        acts = plan(seed, seconds, stage.functions)
        print(f"{form} form, seed {seed}, {seconds:.0f} s, at most {SETTLE_SECONDS:.0f} s to settle:", file=say)
        print(*acts, sep="\n", file=say, flush=True)
        logs = LogLines(folder)
        before = stage.control.stats()
        began = time.monotonic()

        def trees() -> Trees:
            return {name: stage.tree(name) for name in stage.programs}

        entries = stage.system.outbox_documents()
        writing = planned.WRITING_SHARE * seconds
        doctor = int(min(stage.control.truth("doctors")))
        consumer = Consumer(options.settings["GCP_PROJECT"], stage.system.documents())
        stage.subscribers.append(consumer.subscribe)
        stage.before_restart = consumer.catch_up
        with Watcher(logs, stage.system.documents(), trees, stage.control.truth) as watcher, consumer:
            stage.control.do("lag", seconds=planned.LAG_SECONDS)
            for kind, read, lag in planned.LAGS:
                stage.control.do("lag", seconds=lag, kind=kind, read=read)
            stage.break_with("everywhere", planned.FAULTS)
            stage.control.do("activity", per_second=CHANGES_PER_SECOND)
            with Scheduler(stage.jobs_url, seed) as scheduler, Writers(entries, seed, writing, doctor):
                performed = disturb(stage, acts)
                time.sleep(max(0.0, began + seconds - time.monotonic()))
            busy, busy_seconds = stage.control.stats(), time.monotonic() - began
            print("calm", file=say, flush=True)
            calm_seconds = calm(stage)
            unfollowed = consumer.catch_up()
            stage.processes.check()
            after = stage.control.stats()
            run = Run(
                before=before,
                busy=busy,
                after=after,
                seconds=busy_seconds,
                quota=stage.system.api().quota,
                differing=compare(stage),
                pending=waiting(stage),
                calm_seconds=calm_seconds,
                performed=performed,
                authorized=stage.authorized,
                twice=stored_twice(stage.system.documents()),
                wrong_writes=wrong(entries, stage.control.truth("patients"), after["created"], after["writes"]),
                wrong_tombstones=watcher.tombstones.wrong,
                followed=consumer.followed,
                unfollowed=unfollowed,
                simulator_failures=simulator_failures(folder),
                jobs=scheduler.answers,
            )
        return judge(run, logs, watcher.times, watcher.memory.peaks)


def _verify(stage: Stage) -> None:
    answer = stage.control.do("webhook/verify")
    if not answer or not answer["verified"]:
        raise Failed("the webhook's ownership handshake failed")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, help=f"how long faults are injected ({SECONDS:.0f})")
    parser.add_argument("--seed", type=int, help="(from the clock)")
    parser.add_argument("--form", choices=("guide", "live"), default="guide", help="form of DrChrono's API (guide)")
    parser.add_argument("--short", action="store_true", help=f"{SHORT_SECONDS:.0f} s, five minutes in total (guide)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--keep", action="store_true", help="keep the logs even if every requirement is met")
    asked = parser.parse_args()
    seconds = asked.seconds or (SHORT_SECONDS if asked.short else SECONDS)
    seed = asked.seed if asked.seed is not None else int(time.time()) % 100_000
    folder = Path(tempfile.mkdtemp(prefix="drchrono-soak-"))
    screen = sys.stdout
    with (folder / "soak.txt").open("w") as own, contextlib.redirect_stdout(own):  # log lines of this process
        report = soak(asked.form, seed, seconds, folder, screen)
    report.show(asked.json)
    well = all(want.met for want in report.wanted)
    if well and not asked.keep:
        shutil.rmtree(folder)
    else:
        print(f"The logs are in {folder}; repeat with --seed {seed} --form {asked.form} --seconds {seconds:.0f}")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
