"""`.env`: lines of NAME=VALUE."""

from __future__ import annotations

import re
from pathlib import Path

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)")


class DotenvError(Exception):
    """The text says which line is invalid."""


def read(file: Path) -> dict[str, str]:
    """Return the variables of `file`; none if the file does not exist. Raises DotenvError.

    Skips empty lines and lines that begin with #. A value may be in single or double quotes. Nothing in it is expanded.
    """
    if not file.is_file():
        return {}
    found = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise DotenvError(f"line {number} of {file} is not NAME=VALUE: see .env.example")
        name, value = match.groups()
        found[name] = value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value
    return found
