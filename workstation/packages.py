"""The message of a program that is started before its packages are installed. Standard library only."""

from __future__ import annotations

import sys

OWN = ("main", "functions", "shared", "workstation", "ops", "console", "local", "simulator")


def explained(missing: ModuleNotFoundError) -> str:
    """Return one line for a person. Raises `missing` itself if the module is one of ours: that is a bug."""
    if (missing.name or "").partition(".")[0] in OWN:
        raise missing
    return (
        f"error: the package {missing.name} is not installed for {sys.executable}: run `make environment` once, "
        "then `source .venv/bin/activate`"
    )
