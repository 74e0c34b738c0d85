"""`python -m tests.feed.model --schedules 5000 --seed 1`: the long run. It prints each seed that shows a fault."""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.feed.model.run import run_one


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.feed.model")
    parser.add_argument("--schedules", type=int, default=1000, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="the seed of the first; the others follow")
    parser.add_argument("--trace", action="store_true", help="print what happens in each schedule")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="end after N faults (0: never)")
    options = parser.parse_args()
    memory = Path("/dev/shm")  # noqa: S108 (a folder of its own is made in it)
    began, done, failed = time.monotonic(), 0, []
    total: Counter[str] = Counter()
    gc.freeze()
    gc.set_threshold(50_000)
    folder = memory if memory.is_dir() else None
    with tempfile.TemporaryDirectory(dir=folder) as store, contextlib.suppress(KeyboardInterrupt):
        for seed in range(options.seed, options.seed + options.schedules):
            with contextlib.redirect_stdout(io.StringIO()):
                schedule = run_one(seed, Path(store) / "store.sqlite3", tracing=options.trace)
            done += 1
            total["changes"] += sum(schedule.stored.values())
            total["messages"] += len(schedule.broker.messages)
            total["duplicates"] += schedule.duplicates
            if options.trace:
                print("\n".join(schedule.lines))
            if schedule.wrong:
                failed.append(seed)
                print(f"seed {seed}:", *schedule.wrong[:6], sep="\n  ", flush=True)
                if len(failed) == options.first:
                    break
    seconds = time.monotonic() - began
    print(f"{done} schedules in {seconds:.0f} s, {dict(total)}, {len(failed)} with a fault: {failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
