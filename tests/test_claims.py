"""The page docs/claims.md: each test that it names exists, and each promise says what tries it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "claims.md").read_text()
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
SOAK = re.compile(r"soak: \*([^*]+)\*")


def defined_in(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def rows() -> list[list[str]]:
    lines = [line for line in PAGE.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if "false if" not in line]


def test_each_test_that_is_named_exists() -> None:
    named = TEST.findall(PAGE)
    assert len(named) > 60
    # Nothing that looks like a test is written in another way, which this would not see.
    assert PAGE.count("::") == len(named)
    assert [f"{path}::{test}" for path, test in named if test not in defined_in(ROOT / path)] == []


def test_each_verdict_of_the_soak_that_is_named_exists() -> None:
    verdicts = (ROOT / "benchmarks" / "soak" / "verdict.py").read_text()
    named = SOAK.findall(PAGE)
    assert named
    assert [verdict for verdict in named if f'"{verdict}"' not in verdicts] == []


def test_each_promise_says_what_would_make_it_false_and_what_tries_it() -> None:
    assert len(rows()) > 35
    for row in rows():
        assert len(row) == 3, row
        assert all(row), row
        assert TEST.search(row[2]) or re.search(r"\bnothing\b|[Nn]othing tries", row[2]), row
