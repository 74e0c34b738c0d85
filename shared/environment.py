"""Reads environment variables as text, choices and numbers, and collects the problems, to report all at once. Pure.

An unknown variable that begins with `DRCHRONO_` is a problem too, so that a misspelt setting does not go unnoticed.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from shared.errors import SettingsError

DRCHRONO_NAMES = (
    "DRCHRONO_WEBHOOK_SECRET",
    "DRCHRONO_WEBHOOK_SIGNATURE",
    "DRCHRONO_WEBHOOK_HANDSHAKE",
    "DRCHRONO_CLIENT_ID",
    "DRCHRONO_CLIENT_SECRET",
    "DRCHRONO_URL",
    "DRCHRONO_QUOTA",
    "DRCHRONO_BACKGROUND_SHARE",
    "DRCHRONO_PASS_SHARE",
    "DRCHRONO_REDIRECT_URI",
    "DRCHRONO_WRITES",
    "DRCHRONO_FEED",
    "DRCHRONO_HISTORY",
)


class Reader:
    """Reads variables and collects the problems."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.problems: list[str] = []

    def text(self, *names: str, default: str | None = None, remedy: str = "") -> str:
        for name in names:
            value = self._environ.get(name, "").strip()
            if value:
                return value
        if default is None:
            self.problems.append(f"{' or '.join(names)} is not set: {remedy}.")
            return ""
        return default

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        value = self.text(name, default=allowed[0])
        if value not in allowed:
            self.problems.append(f"{name} must be one of {', '.join(allowed)}; it has another value.")
        return value

    def number(self, name: str, default: float, low: float, high: float) -> float:
        value = self.text(name, default=str(default))
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not low <= number <= high:
            self.problems.append(f"{name} must be a number from {low:g} to {high:g}, for example {default:g}.")
        return number

    def finish(self) -> None:
        for name in self._environ:
            if name.startswith("DRCHRONO_") and name not in DRCHRONO_NAMES:
                near = difflib.get_close_matches(name, DRCHRONO_NAMES, n=1)
                hint = f"did you mean {near[0]}?" if near else f"the settings are {', '.join(DRCHRONO_NAMES)}."
                self.problems.append(f"{name} is not a setting: {hint}")
        if self.problems:
            raise SettingsError(self.problems)
