"""`python -m tests.model --schedules 20000 --seed 1`: the long run. It prints each seed that shows a fault."""

from __future__ import annotations

import argparse
import contextlib
import gc
import io
import sys
import tempfile
import time
from pathlib import Path

from tests.model.run import run_one


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.model")
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
    gc.freeze()
    gc.set_threshold(50_000)
    with tempfile.TemporaryDirectory(dir=folder) as store, contextlib.suppress(KeyboardInterrupt):
        for seed in range(options.seed, options.seed + options.schedules):
            with contextlib.redirect_stdout(io.StringIO()):
                schedule = run_one(seed, Path(store) / "store.sqlite3", tracing=options.trace)
            done += 1
            if options.trace:
                print("\n".join(schedule.lines))
            if schedule.wrong:
                failed.append(seed)
                print(f"seed {seed}:", *schedule.wrong[:6], sep="\n  ", flush=True)
                if len(failed) == options.first:
                    break
            if done % 1000 == 0:
                print(f"{done} schedules, {len(failed)} with a fault", flush=True)
    print(f"{done} schedules in {time.monotonic() - began:.0f} s, {len(failed)} with a fault: {failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
