"""The page docs/architecture.md, compared with the code: every folder, module, class and function that it names."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.test_layers import ROOT, SOURCES, imports

PAGE = (ROOT / "docs" / "architecture.md").read_text()
MODULE = re.compile(r"[\w/]+\.py")
FOLDER = re.compile(r"[\w/]+/")
# A class, a function or a method. Functions carry `()`, so that they differ from fields, collections and values.
NAME = re.compile(r"[A-Z][a-z]\w*|(?:[A-Z]\w*\.)?\w+\(\)")


def paragraphs() -> Iterator[str]:
    """Rows of tables, steps of tours and other paragraphs, each in one string."""
    text = re.sub(r"^```.*?^```$", "", PAGE, flags=re.DOTALL | re.MULTILINE)
    yield from re.split(r"\n(?=\||\d+\. |\n)", text)


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)


def defined_in(path: Path) -> set[str]:
    """Classes, functions with `()`, and methods as `Class.method()`."""
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            names.add(f"{node.name}()")
        elif isinstance(node, ast.ClassDef):
            names.add(node.name)
            names |= {f"{node.name}.{inner.name}()" for inner in node.body if isinstance(inner, ast.FunctionDef)}
    return names


def folder_of(path: Path) -> str:
    first, *rest = path.relative_to(ROOT).parts
    if not rest:
        return first
    if first == "ops" and rest[0] in ("cli.py", "__main__.py"):
        return "ops/cli.py"  # the program itself, which has the console among its commands
    if first != "shared":
        return f"{first}/"
    if len(rest) > 1:
        return f"shared/{rest[0]}/"
    return "shared/settings.py" if rest == ["settings.py"] else "shared/"


def test_every_module_and_folder_that_it_names_exists() -> None:
    named = [word for paragraph in paragraphs() for word in quoted(paragraph)]
    modules = {word for word in named if MODULE.fullmatch(word)}
    folders = {word for word in named if FOLDER.fullmatch(word)}

    assert len(modules) > 30
    assert {word for word in modules if not (ROOT / word).is_file()} == set()
    assert {word for word in folders if not (ROOT / word).is_dir()} == set()


def test_every_class_and_function_is_defined_in_the_module_that_is_named_before_it() -> None:
    checked, unknown = 0, []
    for paragraph in paragraphs():
        known: set[str] = set()
        for word in quoted(paragraph):
            if MODULE.fullmatch(word):
                known = defined_in(ROOT / word)
            elif FOLDER.fullmatch(word):
                known = {name for path in (ROOT / word).glob("*.py") for name in defined_in(path)}
            elif NAME.fullmatch(word):
                checked += 1
                if word not in known:
                    unknown.append((paragraph[:60], word))

    assert checked > 60
    assert unknown == []


def test_the_table_of_folders_lists_the_imports_as_they_are() -> None:
    actual: dict[str, set[str]] = defaultdict(set)
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in SOURCES}
    for path in modules.values():
        if folder_of(path) != "benchmarks/":
            actual[folder_of(path)] |= {folder_of(modules[name]) for name in imports(path) if name in modules}
    rows = [line.strip("| ").split("|") for line in PAGE.splitlines() if re.match(r"\| `[\w/.]+` \|.*\|.*\|$", line)]
    listed = {quoted(row[0])[0]: set(quoted(row[2])) if len(row) > 2 else set() for row in rows}

    assert listed == {folder: needed - {folder} for folder, needed in actual.items()}


def test_the_table_of_folders_points_downward() -> None:
    rows = re.findall(r"^\| `([\w/.]+)` \|.*\|([^|]*)\|$", PAGE, re.MULTILINE)
    order = [folder for folder, _ in rows]
    upward = [
        (folder, word) for folder, needed in rows for word in quoted(needed) if word in order[: order.index(folder)]
    ]

    assert len(order) > 10
    assert upward == []
