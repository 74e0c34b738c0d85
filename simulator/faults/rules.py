"""Fault rules: which request fails in which way.

A rule applies to the requests that its `match` describes. It skips the first `after` of them and applies at most
`times`, by default forever. It can apply with a probability, from a seeded source, and only during an interval of the
simulator's clock.

| fault | response |
|---|---|
| `500`, `502`, `503`, `504`, `html` | an HTML page with this status (`html`: 200) |
| `429`, `401`, `403` | as DrChrono sends them |
| `answer` | the given `status` and `body` |
| `error_status` | a failed bulk job: status 500 with `status` `Error` or `Failed` |
| `garbage` | status 200 with a constant body that is not JSON |
| `reset`, `timeout` | none: the connection is reset at once, or closed after `seconds` |
| `malformed` | the real response, but its JSON ends too early |
| `truncate` | half of the real response, then the connection is closed |
| `slow` | the real response after `seconds` |
| `drip` | the real response, its body sent byte by byte within `seconds` |
| `next` | the real list with another `next` link |
| `edit` | the real response with some `fields` replaced |
| `drop_after_write` | none: the request takes effect, then the connection is closed |
| `then` | the real response; then the practice makes the changes in `acts`, so that a reader of pages meets them |
| `error_after_write` | an HTML page with status 502, though the request takes effect |
| `late_write` | none: the connection is closed, and the request takes effect after `seconds` of the simulator's clock |
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from random import Random
from threading import Lock
from typing import Any

from simulator.api.address import Address
from simulator.clock import Clock
from simulator.faults.match import Contents, Match
from simulator.messages import Request

# These faults damage the real response. All others replace it, and the request has no effect.
DAMAGING = frozenset({"slow", "drip", "truncate", "malformed", "next", "edit", "then"}) | {
    *("drop_after_write", "error_after_write", "late_write")
}
FAULTS = DAMAGING | {
    *("500", "502", "503", "504", "429", "401", "403", "reset", "html", "garbage", "timeout", "error_status", "answer")
}
_WAITING = {"slow": 30.0, "drip": 30.0, "timeout": 30.0, "late_write": 30.0}


@dataclasses.dataclass(kw_only=True)
class Rule:
    """One rule, and how often it matched and applied. Raises ValueError if it is invalid."""

    fault: str
    match: Match = dataclasses.field(default_factory=Match)
    probability: float = 1.0
    times: int | None = None
    after: int = 0
    between: tuple[float, float] | None = None
    """Interval in which the rule applies: seconds on the simulator's clock after it was set."""
    seconds: float | None = None
    """Real seconds to wait before the response. None means 30 for `slow`, `drip` and `timeout`, otherwise 0.

    For `late_write`: seconds of the simulator's clock, 30 by default."""
    retry_after: float | str | None = None
    """For `429`: seconds for both the header and the text, or the literal header."""
    status: int | str | None = None
    """For `answer`: the status code (500). For `error_status`: `Error` or `Failed`."""
    body: Any = None
    """For `answer`: a text that is sent as it is, by default as HTML, or a JSON value."""
    content_type: str | None = None
    """For `answer`."""
    link: str | None = None
    """For `next`: `first`, `self`, `none`, or a URL."""
    origin: str | None = None
    """For `next`: origin that replaces that of the link, such as `https://example.com`."""
    fields: Mapping[str, Any] | None = None
    """For `edit`: top-level fields to replace, or those of the record if a list is matched by `id`."""
    acts: Sequence[Mapping[str, Any]] = ()
    """For `then`: changes such as `{"action": "delete", "kind": "patients", "id": …}`, with the arguments that
    `/control/change`, `create` and `delete` take."""
    set_at: float = 0.0
    matched: int = 0
    applied: int = 0

    def __post_init__(self) -> None:
        self.fault = str(self.fault)
        if self.fault not in FAULTS:
            raise ValueError(f"unknown fault {self.fault!r}: one of {', '.join(sorted(FAULTS))}")
        if self.fault == "answer" and not isinstance(self.status, int | None):
            raise ValueError(f"status of an answer is a number, not {self.status!r}")
        if self.fault == "next" and not (self.link or self.origin):
            raise ValueError("next needs a link or an origin")
        if self.fault == "edit" and not self.fields:
            raise ValueError("edit needs fields")
        if self.fault == "then" and not self.acts:
            raise ValueError("then needs acts")
        if unknown := {str(act.get("action")) for act in self.acts} - {"change", "create", "delete"}:
            raise ValueError(f"an act is change, create or delete, not {', '.join(sorted(unknown))}")

    @property
    def wait_seconds(self) -> float:
        return _WAITING.get(self.fault, 0.0) if self.seconds is None else self.seconds

    def applies(self, request: Request, address: Address, contents: Contents, now: float, rng: Random) -> bool:
        if self.times is not None and self.applied >= self.times:
            return False
        if self.between and not self.between[0] <= now - self.set_at < self.between[1]:
            return False
        if not self.match.holds(request, address, contents):
            return False
        self.matched += 1
        if self.matched <= self.after or rng.random() >= self.probability:
            return False
        self.applied += 1
        return True


def rule_from_json(given: Mapping[str, Any], now: float) -> Rule:
    """Return the rule of a JSON object. The conditions of `match` can also stand next to the other fields.

    Raises ValueError with a reason.
    """
    flat = {**given.get("match", {}), **{name: value for name, value in given.items() if name != "match"}}
    conditions = {field.name for field in dataclasses.fields(Match)}
    known = {field.name for field in dataclasses.fields(Rule)} - {"match", "set_at", "matched", "applied"}
    if unknown := set(flat) - known - conditions:
        raise ValueError(f"unknown in a fault rule: {', '.join(sorted(unknown))}")
    if "fault" not in flat:
        raise ValueError("a fault rule needs a fault")
    match = Match(**{name: value for name, value in flat.items() if name in conditions})
    return Rule(**{name: value for name, value in flat.items() if name in known}, match=match, set_at=now)


class Faults:
    """The current rules. The first rule that applies to a request wins."""

    def __init__(self, seed: int, clock: Clock, rules: Sequence[Mapping[str, Any]] = ()) -> None:
        self._rng = Random(f"{seed} faults")
        self._clock = clock
        self._lock = Lock()
        self._rules: list[Rule] = []
        self.set(rules, replace=True)

    def set(self, rules: Sequence[Mapping[str, Any]], *, replace: bool) -> list[Rule]:
        """Replace the rules, or add some. Return all. Raises ValueError if one is invalid."""
        made = [rule_from_json(rule, self._clock.now()) for rule in rules]
        with self._lock:
            self._rules = made if replace else self._rules + made
            return list(self._rules)

    def find(self, request: Request, address: Address, contents: Contents) -> Rule | None:
        """Return the first rule that applies to the request, or None."""
        if not self._rules:
            return None
        with self._lock:
            now = self._clock.now()
            rules = self._rules
            return next((rule for rule in rules if rule.applies(request, address, contents, now, self._rng)), None)

    def as_json(self) -> list[dict[str, Any]]:
        """Return the rules with their settings that differ from the defaults, and their counts."""
        with self._lock:
            return [{**_given(rule), "match": _given(rule.match)} for rule in self._rules]


def _given(settings: Rule | Match) -> dict[str, Any]:
    shown = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if field.name != "match" and (value != field.default or field.name in ("matched", "applied")):
            shown[field.name] = value
    return shown
