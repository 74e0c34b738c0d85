"""What the seeded models share: a store that is emptied before each schedule, and the long run from a terminal."""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from workstation.embedded_documents import EmbeddedDocuments

TOLD_EVERY = 1000


class Schedule(Protocol):
    """lines: what happened, where it is traced. wrong: the faults."""

    lines: list[str]
    wrong: list[str]


S = TypeVar("S", bound=Schedule)
S_co = TypeVar("S_co", bound=Schedule, covariant=True)


class RunOne(Protocol[S_co]):
    def __call__(self, seed: int, file: Path, *, tracing: bool = False) -> S_co: ...


def emptied(file: Path) -> EmbeddedDocuments:
    documents = EmbeddedDocuments(file)
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("delete from documents")
        connection.commit()
    return documents


def run_many(program: str, run_one: RunOne[S], counts: Callable[[S], Mapping[str, int]] = lambda schedule: {}) -> int:
    """Run schedules as the command line asks. Print each seed that shows a fault, and the sums of `counts`."""
    parser = argparse.ArgumentParser(prog=f"python -m {program}")
    parser.add_argument("--schedules", type=int, default=1000, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="the seed of the first; the others follow")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="end after N faults (0: never)")
    parser.add_argument("--trace", action="store_true", help="print what happens in each schedule")
    parser.add_argument("--folder", type=Path, help="where the store is; a folder in memory is much faster")
    options = parser.parse_args()
    memory = Path("/dev/shm")  # noqa: S108 (a folder of its own is made in it)
    folder = options.folder or (memory if memory.is_dir() else None)
    began = time.monotonic()
    done, failed = 0, []
    total: Counter[str] = Counter()
    gc.freeze()
    gc.set_threshold(50_000)
    with tempfile.TemporaryDirectory(dir=folder) as store, contextlib.suppress(KeyboardInterrupt):
        for seed in range(options.seed, options.seed + options.schedules):
            with contextlib.redirect_stdout(io.StringIO()):
                schedule = run_one(seed, Path(store) / "store.sqlite3", tracing=options.trace)
            done += 1
            total.update(counts(schedule))
            if options.trace:
                print("\n".join(schedule.lines))
            if schedule.wrong:
                failed.append(seed)
                print(f"seed {seed}:", *schedule.wrong[:6], sep="\n  ", flush=True)
                if len(failed) == options.first:
                    break
            if done % TOLD_EVERY == 0:
                print(f"{done} schedules, {len(failed)} with a fault", flush=True)
    summed = "".join(f", {count} {name}" for name, count in total.items())
    print(f"{done} schedules in {time.monotonic() - began:.0f} s{summed}, {len(failed)} with a fault: {failed}")
    return 1 if failed else 0
