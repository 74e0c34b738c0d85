"""What a program says that is started before its packages are there. Standard library only."""

from __future__ import annotations

import sys

OWN = ("main", "functions", "shared", "workstation", "ops", "console", "local", "simulator")


def explained(missing: ModuleNotFoundError) -> str:
    """One line for a person. Raises `missing` itself where the module is one of ours: that is a defect."""
    if (missing.name or "").partition(".")[0] in OWN:
        raise missing
    return (
        f"error: the package {missing.name} is not installed for {sys.executable}: run `make environment` once, "
        "then `source .venv/bin/activate`"
    )
