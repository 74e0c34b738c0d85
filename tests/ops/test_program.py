"""The program itself: its version, completion, and installation."""

from __future__ import annotations

import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from ops.cli import app
from tests.test_layers import ROOT, SOURCES, imports

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_it_says_its_version_and_nothing_else() -> None:
    shown = CliRunner().invoke(app, ["--version"])
    assert (shown.exit_code, shown.output.strip()) == (0, PROJECT["project"]["version"])


def test_a_shell_can_complete_its_commands() -> None:
    shown = CliRunner().invoke(app, [], prog_name="drchrono-ops", env={"_DRCHRONO_OPS_COMPLETE": "complete_bash",
        "COMP_WORDS": "drchrono-ops ba", "COMP_CWORD": "1"})  # fmt: skip
    assert shown.output.split() == ["backfill"]


def test_the_entry_points_are_there() -> None:
    for target in PROJECT["project"]["scripts"].values():
        module, _, name = target.partition(":")
        assert callable(getattr(import_module(module), name))


def test_the_package_holds_what_they_import() -> None:
    """Every folder that the entry points import, and every template and file of the console."""
    folders = {pattern.rstrip("*") for pattern in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in SOURCES}
    needed = {
        name.split(".")[0]
        for path in SOURCES
        if path.relative_to(ROOT).parts[0] in folders
        for name in imports(path)
        if name in modules
    }
    assert needed <= folders
    data = PROJECT["tool"]["setuptools"]["package-data"]["console"]
    packed = {path for pattern in data for path in (ROOT / "console").glob(pattern)}
    assert packed == {path for path in (ROOT / "console").rglob("*") if path.suffix in (".html", ".css", ".js", ".svg")}
    assert all((path.parent / "__init__.py").exists() for folder in folders for path in (ROOT / folder).rglob("*.py"))


def test_it_asks_for_the_packages_that_are_pinned() -> None:
    wanted = {
        line
        for name in ("requirements.in", "requirements-dev.in")
        for line in Path(ROOT / name).read_text().split("\n")
    }
    assert set(PROJECT["project"]["dependencies"]) <= wanted
    deployed = {line for line in (ROOT / "requirements.in").read_text().splitlines() if line and line[0] != "#"}
    assert deployed <= set(PROJECT["project"]["dependencies"])
