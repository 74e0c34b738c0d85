"""Counters of requests, tokens, webhooks and changes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from threading import Lock
from typing import Any, TextIO

TOKENS = ("issued", "refreshed", "dead_refresh_used", "dead_access_used")
WEBHOOKS = ("made", "sent", "delivered", "failed", "lost", "waiting")


class Stats:
    """Counters, and the optional request log. `count` increments a named counter; `seen` records one request."""

    def __init__(self, json_log: Path | None = None) -> None:
        self._lock = Lock()
        self._log: TextIO | None = json_log.open("a", encoding="utf-8", buffering=1) if json_log else None
        self.reset()

    def reset(self) -> None:
        with self._lock:
            self._status: Counter[str] = Counter()
            self._endpoint: Counter[str] = Counter()
            self._counts: Counter[str] = Counter()

    def count(self, name: str, by: int = 1) -> None:
        with self._lock:
            self._counts[name] += by

    def seen(self, endpoint: str, outcome: str, *, at: str, target: str, seconds: float) -> None:
        """Record a request: its endpoint with the id replaced, and its status or the kind of broken connection."""
        with self._lock:
            self._status[outcome] += 1
            self._endpoint[endpoint] += 1
        if self._log:
            line = {"time": at, "endpoint": endpoint, "target": target, "status": outcome}
            self._log.write(json.dumps({**line, "milliseconds": round(seconds * 1000, 3)}) + "\n")

    def as_json(self, *, waiting: int) -> dict[str, Any]:
        """Return all counters. `waiting` is the current number of webhook deliveries in transit or due again."""
        with self._lock:
            counts = self._counts
            return {
                "requests": self._status.total(),
                "by_status": dict(sorted(self._status.items())),
                "by_endpoint": dict(sorted(self._endpoint.items())),
                "throttled": counts["throttled"],
                "tokens": {name: counts[name] for name in TOKENS},
                "webhooks": {name: counts[name] for name in WEBHOOKS} | {"waiting": waiting},
                "changes": counts["changes"],
                "writes": counts["writes"],
                "created": counts["created"],
            }

    def close(self) -> None:
        if self._log:
            self._log.close()
