"""What all examples keep to: they are small, and stand beside the system, not on its code."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.test_layers import ROOT, imports

EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))
# Google's clients, and what serves a function.
OTHERS = ("cloudevents", "duckdb", "flask", "functions_framework", "google")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_example_is_small_and_uses_the_reader_and_googles_clients(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 150
    used = {name.split(".")[0] for name in imports(path)} - sys.stdlib_module_names
    assert used <= {"drchrono_reader", *OTHERS}


@pytest.mark.parametrize("folder", [path for path in (ROOT / "examples").iterdir() if (path / "__init__.py").is_file()])
def test_an_example_of_several_files_has_a_page_of_its_own(folder: Path) -> None:
    page = (folder / "README.md").read_text()
    assert all(path.name in page for path in folder.iterdir() if path.suffix in (".sql", ".txt"))
