"""Fault rules: which request fails in which way.

A rule matches requests by method and by a regular expression on the target (path and query). It skips the first `after`
matches and applies at most `times`. It can apply with a probability, from a seeded source, and only during an interval
of the simulator's clock.
"""

from __future__ import annotations

import dataclasses
import re
from random import Random
from threading import Lock
from typing import Any

from simulator.clock import Clock
from simulator.messages import Request

FAULTS = frozenset(
    {"500", "502", "503", "429", "401", "403", "reset", "truncate", "html", "garbage", "slow", "timeout"}
    | {"error_status", "drop_after_write"}
)
# These faults damage the real response. All others replace it, and the request has no effect.
DAMAGING = frozenset({"slow", "truncate", "drop_after_write"})


@dataclasses.dataclass(kw_only=True)
class Rule:
    fault: str
    path: str = ""
    method: str = ""
    probability: float = 1.0
    times: int | None = None
    after: int = 0
    seconds: float = 30.0
    """Real seconds to wait, for `slow` and `timeout`."""
    retry_after: float | str | None = None
    """For `429`: seconds for both the header and the text, or the literal header."""
    between: tuple[float, float] | None = None
    """Interval in which the rule applies: seconds on the simulator's clock after it was set."""
    status: str = "Error"
    """For `error_status`: `Error` or `Failed`."""
    set_at: float = 0.0
    matched: int = 0
    applied: int = 0

    def __post_init__(self) -> None:
        self.fault = str(self.fault)
        if self.fault not in FAULTS:
            raise ValueError(f"unknown fault {self.fault!r}: one of {', '.join(sorted(FAULTS))}")
        try:
            self._pattern = re.compile(self.path)
        except re.error as error:
            raise ValueError(f"path is not a regular expression: {error}") from None

    def applies(self, request: Request, now: float, rng: Random) -> bool:
        if self.times is not None and self.applied >= self.times:
            return False
        if self.method and self.method.upper() != request.method:
            return False
        if not self._pattern.search(request.target):
            return False
        if self.between and not self.between[0] <= now - self.set_at < self.between[1]:
            return False
        self.matched += 1
        if self.matched <= self.after or rng.random() >= self.probability:
            return False
        self.applied += 1
        return True


def rule_from_json(given: dict[str, Any], now: float) -> Rule:
    """Return the rule of a JSON object. `match` holds path and method, next to the other fields.

    Raises ValueError with a reason.
    """
    flat = {**given.get("match", {}), **{name: value for name, value in given.items() if name != "match"}}
    known = {field.name for field in dataclasses.fields(Rule)} - {"set_at", "matched", "applied"}
    if unknown := set(flat) - known:
        raise ValueError(f"unknown in a fault rule: {', '.join(sorted(unknown))}")
    if "fault" not in flat:
        raise ValueError("a fault rule needs a fault")
    return Rule(**flat, set_at=now)


class Faults:
    """The current rules. The first rule that applies to a request wins."""

    def __init__(self, seed: int, clock: Clock) -> None:
        self._rng = Random(f"{seed} faults")
        self._clock = clock
        self._lock = Lock()
        self._rules: list[Rule] = []

    def set(self, rules: list[dict[str, Any]], *, replace: bool) -> list[Rule]:
        made = [rule_from_json(rule, self._clock.now()) for rule in rules]
        with self._lock:
            self._rules = made if replace else self._rules + made
            return list(self._rules)

    def find(self, request: Request) -> Rule | None:
        """Return the first rule that applies to the request, or None."""
        if not self._rules:
            return None
        with self._lock:
            now = self._clock.now()
            return next((rule for rule in self._rules if rule.applies(request, now, self._rng)), None)
