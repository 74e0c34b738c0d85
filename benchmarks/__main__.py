"""Run all benchmarks in turn, and write `benchmarks/RESULTS.md`.

    python -m benchmarks [--quick] [NAME …]

Exits with 0 even if a target is missed; the page says which. Exits with 1 if a benchmark failed; then the page stays
unchanged, and the figures of the others are in `build/benchmarks`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil

from benchmarks.results import page

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "RESULTS.md"
BUILD = FOLDER.parent / "build"

# In this order, each with the options of its quick run.
BENCHMARKS = {
    "webhook": "--quick",
    "load": "--quick",
    "client": "--quick",
    "quota": "--quick",
    "storm": "--quick",
    "fill": "--quick",
    "store": "--quick",
    "outbox": "--quick",
    "feed": "--quick",
    "backfill": "--quick",
    "scale": "--quick",
    "soak": "--short",
}
# The soak's seed is fixed, so that two pages can be compared.
OPTIONS = {"soak": ["--seed", "1"]}


def measured(name: str, folder: Path, *, quick: bool) -> dict[str, Any] | None:
    """Run one benchmark. Return what it wrote, or None if it wrote nothing."""
    file = folder / f"{name}.json"
    file.unlink(missing_ok=True)
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(file), *OPTIONS.get(name, [])]
    print(f"\n== {name}", flush=True)
    began = time.monotonic()
    subprocess.run([*command, BENCHMARKS[name]] if quick else command, cwd=FOLDER.parent, check=False)
    print(f"{time.monotonic() - began:.0f} s", flush=True)
    return json.loads(file.read_text()) if file.exists() else None


def about(*, quick: bool) -> list[str]:
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],  # noqa: S607 (any git will do)
        cwd=FOLDER,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    memory = psutil.virtual_memory().total / 2**30
    return [
        f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC, commit {commit or 'unknown'}"
        + (", quick: whether it works, not how fast" if quick else ""),
        f"{os.cpu_count()} cores ({processor()}), {memory:.0f} GiB of memory; servers, load and emulators share them",
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
    ]


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these, and no page: {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true", help="short runs; the page goes to build/")
    asked = parser.parse_args()
    if unknown := set(asked.names) - BENCHMARKS.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    figures = BUILD / "benchmarks"
    figures.mkdir(parents=True, exist_ok=True)
    names = asked.names or list(BENCHMARKS)
    reports = {name: measured(name, figures, quick=asked.quick) for name in names}
    failed = [name for name, report in reports.items() if report is None]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
        return 1
    if asked.names:
        return 0
    results = BUILD / "RESULTS.md" if asked.quick else RESULTS
    results.write_text(page(about(quick=asked.quick), [report for report in reports.values() if report]))
    print(f"\n{results}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
