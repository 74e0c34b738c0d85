"""The architecture, as imports: who may know whom. Imports inside functions and for type checkers count as well."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OWN = {"main", "functions", "shared", "simulator", "workstation", "ops", "console", "local", "tests", "benchmarks"}
# Modules that decide. They take clock, environment, sleep and randomness as arguments, and do no input or output.
PURE = [
    ROOT / "shared" / f"{name}.py"
    for name in (
        "documents",
        "environment",
        "errors",
        "exact_json",
        "settings",
        "drchrono/answers",
        "drchrono/calls",
        "drchrono/cycles",
        "drchrono/hosts",
        "drchrono/ids",
        "drchrono/kinds",
        "drchrono/lag",
        "drchrono/permissions",
        "drchrono/records",
        "drchrono/retry",
        "drchrono/windows",
        "feed/document",
        "feed/entries",
        "jobs/checkpoint",
        "jobs/due",
        "jobs/reading",
        "jobs/walk_state",
        "jobs/watermark",
        "queue/encoding",
        "outbox/answers",
        "outbox/entries",
        "outbox/entry_documents",
        "outbox/fields",
        "outbox/guards",
        "outbox/matching",
        "outbox/summary",
        "outbox/targets",
        "outbox/transitions",
        "outbox/validation",
        "queue/entries",
        "rate_limit/capacity",
        "rate_limit/encoding",
        "rate_limit/ledger",
        "rate_limit/reservations",
        "rate_limit/state",
        "rate_limit/windows",
        "records/changes",
        "records/deletion_limit",
        "records/marks",
        "records/meta",
        "records/ordering",
        "records/outcome",
        "records/results",
        "records/scheduled",
        "records/signed_urls",
        "records/storable",
        "tokens/decisions",
        "tokens/failures",
        "tokens/report",
        "tokens/state",
        "tokens/token",
        "webhooks/deliveries",
        "webhooks/events",
    )
]
SOURCES = [
    ROOT / "main.py",
    *(
        path
        for name in ("functions", "shared", "simulator", "workstation", "ops", "console", "local", "benchmarks")
        for path in (ROOT / name).rglob("*.py")
    ),
]


def imports(path: Path) -> Iterator[str]:
    """Dotted names of all modules that the file imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module != "__future__":
            # `from shared import watermark` names a module in its second half.
            submodules = [f"{node.module}.{alias.name}" for alias in node.names]
            inner = [name for name in submodules if (ROOT / f"{name.replace('.', '/')}.py").exists()]
            yield from inner or [node.module]


def under(folder: str) -> list[Path]:
    return [path for path in SOURCES if path.relative_to(ROOT).parts[0] == folder]


def test_pure_modules_import_only_the_standard_library_and_each_other() -> None:
    # The log is known for its types only (`Severity`).
    pure = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in PURE} | {"shared.log"}
    strangers = {
        (path.name, name)
        for path in PURE
        for name in imports(path)
        if name.split(".")[0] not in sys.stdlib_module_names and name not in pure
    }
    assert strangers == set()


def test_pure_modules_read_no_clock_environment_or_chance() -> None:
    impure = {"os.environ", "time.time", "time.monotonic", "time.sleep", "datetime.now", "date.today", "random.random"}
    used = {
        (path.name, ast.unparse(node))
        for path in PURE
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in impure
    }
    assert used == set()


@pytest.mark.parametrize("library", ["google", "grpc"])
def test_only_the_adapters_know_google(library: str) -> None:
    users = {
        str(path.relative_to(ROOT))
        for folder in ("functions", "shared")
        for path in under(folder)
        if any(name.split(".")[0] == library for name in imports(path))
    }
    assert all(user.startswith("shared/cloud/") for user in users)


def test_only_the_client_knows_requests() -> None:
    users = {
        path.parent.name for folder in ("functions", "shared") for path in under(folder) if "requests" in imports(path)
    }
    assert users == {"drchrono", "tokens"}


def test_functions_know_only_shared_and_the_framework() -> None:
    allowed = {"functions", "shared", "flask"} | sys.stdlib_module_names
    strangers = {
        (path.name, name) for path in under("functions") for name in imports(path) if name.split(".")[0] not in allowed
    }
    assert strangers == set()


def test_shared_knows_neither_functions_nor_main_nor_what_is_not_deployed() -> None:
    allowed = OWN - {"shared"}
    strangers = {
        (path.name, name) for path in under("shared") for name in imports(path) if name.split(".")[0] in allowed
    }
    assert strangers == set()


def test_what_is_deployed_does_not_know_what_is_not() -> None:
    undeployed = {"local", "ops", "console", "simulator", "tests", "workstation", "benchmarks"}
    deployed = [ROOT / "main.py", *under("functions"), *under("shared")]
    strangers = {(path.name, name) for path in deployed for name in imports(path) if name.split(".")[0] in undeployed}
    assert strangers == set()


def test_the_simulator_shares_no_code_with_the_client() -> None:
    strangers = {
        (path.name, name)
        for path in (ROOT / "simulator").rglob("*.py")
        for name in imports(path)
        if name.split(".")[0] in OWN - {"simulator"}
    }
    assert strangers == set()


def test_the_operators_programs_and_the_local_run_share_only_what_is_below_both() -> None:
    above = {
        "workstation": {"ops", "console", "local", "simulator"},
        "ops": {"local", "simulator"},
        "console": {"local", "simulator"},
        "local": {"ops", "console"},
    }
    strangers = {
        (path.name, name)
        for folder, others in above.items()
        for path in under(folder)
        for name in imports(path)
        if name.split(".")[0] in others
    }
    assert strangers == set()


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports inside functions and for type checkers count as well."""
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in SOURCES
    }
    left = {module: {name for name in imports(path) if name in modules} - {module} for module, path in modules.items()}
    while free := [module for module, needed in left.items() if not needed & left.keys()]:
        for module in free:
            del left[module]
    assert sorted(left) == []
