"""Change one operator of the product at a time, and see whether a test of its room fails.

    python -m tests.mutation [--sample 60] [--seed 1] [--emulators] [--only shared/records]

Runs in a copy of the checkout. Prints each change, and the first test that failed, or `SURVIVED`: then either no test
notices the change, or it changes nothing that matters. A person has to tell which.
"""

from __future__ import annotations

import argparse
import ast
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parents[1]

# The code that decides, and the tests that have to notice: quick ones first, since the first failure ends the run.
ROOMS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("shared/records/announcing.py", ("tests/feed/test_announcing.py", "tests/feed/test_relay.py")),
    ("shared/records/changes.py", ("tests/records/test_changes.py", "tests/feed/test_announcing.py")),
    ("shared/records/coverage.py", ("tests/jobs/test_coverage.py", "tests/jobs/test_report.py")),
    ("shared/records/deletion_limit.py", ("tests/records/test_deletion_limit.py",)),
    ("shared/records/marks.py", ("tests/records/test_marks.py",)),
    ("shared/records/ordering.py", ("tests/records/test_ordering.py", "tests/records/test_doubt.py")),
    ("shared/records/prepared.py", ("tests/records/test_chunks.py", "tests/records/test_store_page.py")),
    ("shared/records/scheduled.py", ("tests/records/test_scheduled.py",)),
    ("shared/records/signed_urls.py", ("tests/records/test_signed_urls.py",)),
    ("shared/records/storable.py", ("tests/records/test_storable.py",)),
    ("shared/records/zones.py", ("tests/jobs/test_zones.py",)),
    (
        "shared/records/absence.py",
        ("tests/records/test_absence.py", "tests/jobs/test_reconcile.py", "tests/jobs/test_sync.py"),
    ),
    (
        "shared/records",
        (
            *("tests/records", "tests/feed/test_announcing.py", "tests/functions/test_store_record.py"),
            *("tests/jobs/test_sync.py", "tests/jobs/test_reconcile.py"),
        ),
    ),
    ("shared/queue/encoding.py", ("tests/queue",)),
    ("shared/queue/entries.py", ("tests/queue/test_entries.py",)),
    ("shared/queue", ("tests/queue", "tests/functions/test_store_record.py", "tests/jobs/test_sync.py")),
    ("shared/jobs/announce.py", ("tests/jobs/test_announce.py",)),
    ("shared/jobs/backfill.py", ("tests/jobs/test_backfill.py", "tests/jobs/test_shifting.py")),
    ("shared/jobs/checkpoint.py", ("tests/jobs/test_pauses.py", "tests/jobs/test_isolation.py")),
    ("shared/jobs/claims.py", ("tests/jobs/test_claim_limits.py",)),
    ("shared/jobs/coverage.py", ("tests/jobs/test_coverage.py",)),
    ("shared/jobs/due.py", ("tests/jobs/test_due.py",)),
    ("shared/jobs/leases.py", ("tests/jobs/test_leases.py",)),
    ("shared/jobs/listing.py", ("tests/jobs/test_listing.py", "tests/jobs/test_shifting.py")),
    ("shared/jobs/practice_sample.py", ("tests/jobs/test_practice_sample.py", "tests/jobs/test_practice_lists.py")),
    ("shared/jobs/practice", ("tests/jobs/test_practice_pass.py", "tests/jobs/test_practice_lists.py")),
    ("shared/jobs/prefetch.py", ("tests/jobs/test_prefetch.py",)),
    ("shared/jobs/reading.py", ("tests/jobs/test_reading.py", "tests/jobs/test_shifting.py")),
    ("shared/jobs/reconcile.py", ("tests/jobs/test_reconcile.py", "tests/jobs/test_shifting.py")),
    ("shared/jobs/remaining.py", ("tests/jobs/test_remaining.py",)),
    ("shared/jobs/report.py", ("tests/jobs/test_report.py",)),
    ("shared/jobs/slow_round.py", ("tests/jobs/test_pauses.py", "tests/jobs/test_sync.py")),
    ("shared/jobs/status.py", ("tests/jobs/test_status.py",)),
    ("shared/jobs/waiting.py", ("tests/jobs/test_waiting.py",)),
    ("shared/jobs/walk.py", ("tests/jobs/test_walk.py", "tests/jobs/test_prefetch.py", "tests/jobs/test_sync.py")),
    ("shared/jobs/walk_state.py", ("tests/jobs/test_walk_state.py",)),
    ("shared/jobs/watermark.py", ("tests/jobs/test_watermark.py",)),
    ("shared/jobs/whole.py", ("tests/jobs/test_whole.py",)),
    ("shared/jobs/windowed.py", ("tests/jobs/test_windowed.py", "tests/jobs/test_shifting.py")),
    ("shared/jobs/worklist.py", ("tests/jobs/test_worklist.py", "tests/jobs/test_isolation.py")),
    ("shared/jobs/zones.py", ("tests/jobs/test_zones.py",)),
    (
        "shared/jobs",
        (
            *("tests/jobs/test_status.py", "tests/jobs/test_claims.py", "tests/jobs/test_sync.py"),
            *("tests/jobs/test_shifting.py", "tests/jobs/test_isolation.py"),
        ),
    ),
    ("shared/drchrono/lag.py", ("tests/drchrono/test_lag.py",)),
    ("shared/webhooks", ("tests/webhooks", "tests/functions/test_receive_webhook.py")),
    ("functions", ("tests/functions/test_receive_webhook.py",)),
)
PATHS = (
    *("shared/records", "shared/queue", "shared/jobs", "shared/drchrono/lag.py", "shared/webhooks"),
    *("functions/receive_webhook.py", "functions/request_body.py"),
)
SECONDS = 600

SWAPPED: dict[type[ast.AST], tuple[str, str]] = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.And: ("and", "or"),
    ast.Or: ("or", "and"),
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
}


@dataclass(frozen=True)
class Mutation:
    """start, end: the place in the file, in characters, of what is replaced by `new`."""

    path: str
    line: int
    start: int
    end: int
    old: str
    new: str

    def applied(self, text: str) -> str:
        return text[: self.start] + self.new + text[self.end :]


def mutations(path: str, text: str) -> Iterator[Mutation]:
    """Every operator of a module that can be swapped, `not` that can be left out, and `min` and `max`."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def at(line: int, column: int) -> int:
        """`ast` counts columns in bytes."""
        whole = text[starts[line - 1] : starts[line]].encode()
        return starts[line - 1] + len(whole[:column].decode())

    def between(left: ast.expr, right: ast.expr, operator: ast.AST) -> Iterator[Mutation]:
        if type(operator) not in SWAPPED:
            return
        old, new = SWAPPED[type(operator)]
        first = at(left.end_lineno or 0, left.end_col_offset or 0)
        last = at(right.lineno, right.col_offset)
        pattern = r"\s+".join(map(re.escape, old.split()))
        found = re.search(rf"\b{pattern}\b" if old[0].isalpha() else pattern, text[first:last])
        if found is not None:
            yield Mutation(path, left.end_lineno or 0, first + found.start(), first + found.end(), old, new)

    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            for operator, left, right in zip(node.ops, sides, sides[1:], strict=False):
                yield from between(left, right, operator)
        elif isinstance(node, ast.BinOp):
            yield from between(node.left, node.right, node.op)
        elif isinstance(node, ast.BoolOp):
            for one, other in zip(node.values, node.values[1:], strict=False):
                yield from between(one, other, node.op)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            start = at(node.lineno, node.col_offset)
            yield Mutation(path, node.lineno, start, start + len("not "), "not ", "")
        elif isinstance(node, ast.Name) and node.id in ("min", "max"):
            start = at(node.lineno, node.col_offset)
            yield Mutation(path, node.lineno, start, start + 3, node.id, {"min": "max", "max": "min"}[node.id])


def sample(size: int, seed: int, only: list[str]) -> list[Mutation]:
    found = [
        one
        for room in PATHS
        for path in ([ROOT / room] if room.endswith(".py") else sorted((ROOT / room).glob("*.py")))
        for one in mutations(str(path.relative_to(ROOT)), path.read_text())
        if one.path.startswith(tuple(only))
    ]
    return Random(f"{seed} mutation").sample(found, min(size, len(found)))


def noticed(copy: Path, tests: tuple[str, ...], *, emulators: bool) -> str | None:
    """The first test that fails, None where none does. A run that does not end in time says nothing: `UNDECIDED`."""
    marked = [] if emulators else ["-m", "not emulator"]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", *marked, *tests]
    try:
        ended = subprocess.run(command, cwd=copy, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return "UNDECIDED"
    if ended.returncode == 0:
        return None
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", ended.stdout, re.MULTILINE)
    return failed[1] if failed else "(the tests cannot be collected)"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--emulators", action="store_true", help="also the tests that need them")
    parser.add_argument("--only", default=[""], nargs="*", help="files whose paths begin so")
    asked = parser.parse_args()
    chosen = sample(asked.sample, asked.seed, asked.only)
    survived = undecided = 0
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".venv", ".git", ".local", "__pycache__", ".*cache"))
        for mutation in chosen:
            file = copy / mutation.path
            text = file.read_text()
            file.write_text(mutation.applied(text))
            room = next(tests for room, tests in ROOMS if mutation.path.startswith(room))
            failed = noticed(copy, room, emulators=asked.emulators)
            file.write_text(text)
            survived += failed is None
            undecided += failed == "UNDECIDED"
            change = f"{mutation.path}:{mutation.line}: {mutation.old.strip()} -> {mutation.new or 'nothing'}"
            print(f"{change}  {failed or 'SURVIVED'}", flush=True)
    print(f"{len(chosen) - survived - undecided} of {len(chosen)} were noticed, {undecided} are undecided")
    return 0


if __name__ == "__main__":
    sys.exit(main())
