"""OAuth's state: codes and token pairs.

What is known of the real service: refresh tokens rotate on every use and the old pair dies at once; going through
authorization again kills the earlier pair; a code is used once and lives about a minute. The guide keeps silent on
all of this, and nothing in it contradicts.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from threading import RLock
from typing import Any

from simulator.clock import Clock
from simulator.config import Config
from simulator.stats import Stats

_BASES = (
    *("user", "calendar", "patients", "patients:summary", "billing", "billing:patient-payment"),
    *("clinical", "labs", "messages", "tasks", "settings"),
)
SCOPES = frozenset(f"{base}:{mode}" for base in _BASES for mode in ("read", "write"))


class InvalidGrantError(Exception):
    """A code or refresh token that is unknown, spent or dead."""


@dataclass
class Pair:
    """An access token and the refresh token that was given with it."""

    access: str
    refresh: str
    scope: str
    expires_at: float
    dead: bool = False
    spent_at: float = 0.0
    successor: Pair | None = None

    @property
    def scopes(self) -> frozenset[str]:
        return frozenset(self.scope.split())


@dataclass
class _Code:
    redirect_uri: str
    scope: str
    expires_at: float
    used: bool = False


class Tokens:
    """Issues and judges codes and tokens."""

    def __init__(self, config: Config, clock: Clock, stats: Stats) -> None:
        self._config, self._clock, self._stats = config, clock, stats
        self._rng = Random(f"{config.seed} tokens")
        self._lock = RLock()
        self._codes: dict[str, _Code] = {}
        self._by_access: dict[str, Pair] = {}
        self._by_refresh: dict[str, Pair] = {}

    def new_code(self, redirect_uri: str, scope: str) -> str:
        with self._lock:
            code = self._word(24)
            self._codes[code] = _Code(redirect_uri, scope, self._clock.now() + self._config.code_seconds)
            return code

    def exchange(self, code: str, redirect_uri: str) -> Pair:
        """A code for a pair. All earlier pairs die."""
        with self._lock:
            known = self._codes.get(code)
            if known is None or known.used or known.expires_at < self._clock.now():
                raise InvalidGrantError
            if known.redirect_uri != redirect_uri:
                raise InvalidGrantError
            known.used = True
            self.revoke_all()
            return self.issue(known.scope)

    def refresh(self, token: str) -> Pair:
        """A refresh token for a new pair. The old pair is dead from now on."""
        with self._lock:
            pair = self._by_refresh.get(token)
            if pair is None:
                raise InvalidGrantError
            now = self._clock.now()
            if pair.successor is not None and now < pair.spent_at + self._config.grace_seconds:
                return pair.successor
            if pair.dead:
                self._stats.count("dead_refresh_used")
                raise InvalidGrantError
            pair.dead, pair.spent_at = True, now
            pair.successor = self._make(pair.scope)
            self._stats.count("refreshed")
            return pair.successor

    def issue(self, scope: str = "") -> Pair:
        """A pair out of nothing, for all scopes unless some are named."""
        with self._lock:
            self._stats.count("issued")
            return self._make(scope or " ".join(sorted(SCOPES)))

    def judge(self, access: str) -> Pair | None:
        """The pair of a valid access token, otherwise None."""
        pair = self._by_access.get(access)
        if pair is not None and not pair.dead and self._clock.now() < pair.expires_at:
            return pair
        if pair is not None:
            self._stats.count("dead_access_used")
        return None

    def revoke(self, token: str) -> None:
        """End the pair that a token of either sort belongs to; unknown tokens are fine (RFC 7009)."""
        with self._lock:
            pair = self._by_access.get(token) or self._by_refresh.get(token)
            if pair is not None:
                pair.dead = True

    def revoke_all(self) -> None:
        with self._lock:
            for pair in self._by_access.values():
                pair.dead = True

    def expire_access(self) -> None:
        """End all access tokens as if their time had come; the refresh tokens live on."""
        with self._lock:
            for pair in self._by_access.values():
                pair.expires_at = min(pair.expires_at, self._clock.now())

    def answer(self, pair: Pair) -> dict[str, Any]:
        """The token endpoint's JSON."""
        return {
            "access_token": pair.access,
            "token_type": "Bearer",
            "expires_in": round(pair.expires_at - self._clock.now()),
            "refresh_token": pair.refresh,
            "scope": pair.scope,
        }

    def _make(self, scope: str) -> Pair:
        expires_at = self._clock.now() + self._config.lifetime_seconds
        pair = Pair(self._word(30), self._word(30), scope, expires_at)
        self._by_access[pair.access] = self._by_refresh[pair.refresh] = pair
        return pair

    def _word(self, length: int) -> str:
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
        return "".join(self._rng.choices(letters, k=length))
