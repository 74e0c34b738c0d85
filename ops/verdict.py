"""The two ways in which a check of `doctor` does not pass."""

from __future__ import annotations


class Failed(Exception):
    """What is wrong, and what to do."""

    def __init__(self, found: str, remedy: str) -> None:
        super().__init__(found)
        self.found = found
        self.remedy = remedy


class Skipped(Exception):
    """Why the check could not run, and what it needs."""

    def __init__(self, because: str, remedy: str = "") -> None:
        super().__init__(because)
        self.because = because
        self.remedy = remedy
