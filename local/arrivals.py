"""Webhooks and events from the functions' logs, as lines for a person."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

# Keyed by the outcome in the log line `event.done` (shared.records.ordering.Outcome).
OUTCOMES = {
    "stored": "stored",
    "unchanged": "unchanged",
    "stale": "outdated",
    "covered": "copied",
    "gone": "deleted",
    "deferred": "deferred",
}


class Tail:
    """The lines that are written to a log after this object was made."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read = log.stat().st_size if log.exists() else 0
        self._rest = b""

    def lines(self) -> Iterator[Mapping[str, Any]]:
        """Yield the new, complete lines of the function itself, which are JSON. Skip all other lines of the log."""
        if not self._log.exists():
            return
        with self._log.open("rb") as log:
            log.seek(self._read)
            new = log.read()
        self._read += len(new)
        *whole, self._rest = (self._rest + new).split(b"\n")
        for line in whole:
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict):
                yield found


def event_text(line: Mapping[str, Any]) -> str | None:
    """Return the outcome of a webhook or an event, without patient data; None for any other line."""
    label = line.get("message")
    if label == "event.done":
        words = OUTCOMES.get(line["outcome"], line["outcome"])
        after = f": {line['reason']}" if line["outcome"] == "deferred" else f", {line['seconds'] * 1000:.0f} ms"
        return row(line["event"], f"{line['kind']}/{line['id']}", words + after)
    if label == "webhook.rejected":
        return f"a webhook was refused with {line['status']}: {line['reason']}"
    if label == "webhook.ignored" and line["event"] == "PING":
        return "a PING was acknowledged"
    if label == "webhook.ignored":
        return f"a webhook was ignored: {line['event'] or 'no event'} is not of a kind that is kept"
    return None


def row(event: str, path: str, what: str) -> str:
    """Return a line that fits 80 columns with the time before it. DrChrono's longest event name has 25 characters."""
    return f"{event:25} {path:24} {what}"
