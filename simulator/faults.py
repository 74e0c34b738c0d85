"""Faults on demand: which request is hit by which failure, and what that looks like.

A rule hits requests by method and by a regular expression on the address (path and query), skips the first `after`
of them, hits at most `times`, with a probability from a seeded source, and between two moments of the simulator's
clock if wanted.
"""

from __future__ import annotations

import dataclasses
import re
from random import Random
from threading import Lock
from typing import Any

from simulator.clock import Clock
from simulator.messages import Request, Response, answer, html

FAULTS = frozenset(
    {"500", "502", "503", "429", "401", "403", "reset", "truncate", "html", "garbage", "slow", "timeout"}
    | {"error_status", "drop_after_write"}
)
# These let the request through first; all others keep it from happening.
AFTER_THE_FACT = frozenset({"slow", "truncate", "drop_after_write"})
_GATEWAY = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center></body></html>"


@dataclasses.dataclass(kw_only=True)
class Rule:
    fault: str
    path: str = ""
    method: str = ""
    probability: float = 1.0
    times: int | None = None
    after: int = 0
    seconds: float = 30.0
    """Of waiting (`slow`, `timeout`), in real seconds."""
    retry_after: float | str | None = None
    """Of a 429: seconds for header and text, or the header's text as it is."""
    between: tuple[float, float] | None = None
    """Seconds on the simulator's clock after the rule was made."""
    status: str = "Error"
    """Of `error_status`: `Error` or `Failed`."""
    made_at: float = 0.0
    matched: int = 0
    hit: int = 0

    def __post_init__(self) -> None:
        self.fault = str(self.fault)
        if self.fault not in FAULTS:
            raise ValueError(f"unknown fault {self.fault!r}: one of {', '.join(sorted(FAULTS))}")
        try:
            self._pattern = re.compile(self.path)
        except re.error as error:
            raise ValueError(f"path is not a regular expression: {error}") from None

    def strikes(self, request: Request, now: float, rng: Random) -> bool:
        if self.times is not None and self.hit >= self.times:
            return False
        if self.method and self.method.upper() != request.method:
            return False
        if not self._pattern.search(request.target):
            return False
        if self.between and not self.between[0] <= now - self.made_at < self.between[1]:
            return False
        self.matched += 1
        if self.matched <= self.after or rng.random() >= self.probability:
            return False
        self.hit += 1
        return True


def rule_from_json(given: dict[str, Any], now: float) -> Rule:
    """A rule as posted: `match` holds path and method, the rest stands beside it. ValueError says what is wrong."""
    flat = {**given.get("match", {}), **{name: value for name, value in given.items() if name != "match"}}
    known = {field.name for field in dataclasses.fields(Rule)} - {"made_at", "matched", "hit"}
    if unknown := set(flat) - known:
        raise ValueError(f"unknown in a fault rule: {', '.join(sorted(unknown))}")
    if "fault" not in flat:
        raise ValueError("a fault rule needs a fault")
    return Rule(**flat, made_at=now)


class Faults:
    """The rules in force."""

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

    def strike(self, request: Request) -> Rule | None:
        """The first rule that hits this request."""
        if not self._rules:
            return None
        with self._lock:
            now = self._clock.now()
            return next((rule for rule in self._rules if rule.strikes(request, now, self._rng)), None)


def answer_instead(rule: Rule, request: Request, *, live: bool) -> Response:
    """What the caller gets in place of the real answer."""
    match rule.fault:
        case "500":
            return html(500, "<h1>Server Error (500)</h1>")
        case "502":
            return html(502, _GATEWAY.format("502 Bad Gateway"))
        case "503":
            return html(503, _GATEWAY.format("503 Service Temporarily Unavailable"))
        case "429":
            text = None if rule.retry_after is None or isinstance(rule.retry_after, str) else float(rule.retry_after)
            header = () if rule.retry_after is None else (("Retry-After", f"{rule.retry_after}"),)
            return throttled(60.0 if text is None else text, *header)
        case "401":
            return unauthorized(live=live)
        case "403":
            return answer(403, {"detail": "You do not have permission to perform this action."})
        case "html":
            return html(200, "<html><body><h1>We are performing maintenance</h1></body></html>")
        case "garbage":
            return Response(status=200, body=b'{"results": [{"id": 1, "first_na\x00me": ')
        case "error_status":
            body = {"status": rule.status, "uuid": request.query.get("uuid"), "detail": "The list could not be made."}
            return answer(500, body)
        case "timeout":
            return Response(status=0, wire="closed", delay_seconds=rule.seconds)
        case _:
            return Response(status=0, wire="reset")


def spoil(rule: Rule, response: Response) -> Response:
    """The real answer, as it arrives: late, half or not at all."""
    match rule.fault:
        case "slow":
            return dataclasses.replace(response, delay_seconds=rule.seconds)
        case "truncate":
            return dataclasses.replace(response, wire="truncated")
        case _:
            return dataclasses.replace(response, wire="closed")


def throttled(seconds: float, *headers: tuple[str, str]) -> Response:
    """The 429 of DrChrono's support pages, with its `.0`."""
    text = f"Request was throttled. Expected available in {float(seconds):.1f} seconds."
    return answer(429, {"detail": text}, *headers)


def unauthorized(*, live: bool) -> Response:
    """The real one is not JSON (recorded); the guide says nothing but 401."""
    if live:
        challenge = 'Bearer error="invalid_token", error_description="The access token is invalid or has expired."'
        return html(401, "Authorization failed.", ("WWW-Authenticate", challenge))
    detail = {"detail": "Invalid or expired access token."}
    return answer(401, detail, ("WWW-Authenticate", 'Bearer error="invalid_token"'))
