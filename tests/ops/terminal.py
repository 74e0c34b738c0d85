"""The commands in a real terminal of 80 columns."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pexpect

ROOT = Path(__file__).resolve().parent.parent.parent


def start(folder: Path, *arguments: str, **environment: str) -> pexpect.spawn[str]:
    """`python -m ops …` from `folder`, with no browser to open."""
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "NO_COLOR", "COLUMNS")
    inherited = {name: value for name, value in os.environ.items() if name not in hidden}
    return pexpect.spawn(
        sys.executable,
        ["-m", "ops", *arguments],
        cwd=str(folder),
        env={**inherited, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **environment},
        encoding="utf-8",
        timeout=10,
        dimensions=(24, 80),
    )


def plain(text: str) -> str:
    """Return the text in one line, so that the line breaks of the terminal do not matter."""
    return " ".join(text.split())
