"""Authorization codes and token pairs.

As on the live service, refresh tokens rotate on every use and the old pair is revoked at once. A new authorization
revokes all earlier pairs. A code can be used once and expires after about a minute. The guide does not describe any of
this, and does not contradict it.
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
    """The code or refresh token is unknown, used or revoked."""


@dataclass
class Pair:
    """An access token and its refresh token."""

    access: str
    refresh: str
    scope: str
    expires_at: float
    revoked: bool = False
    used_at: float = 0.0
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
    """Issues, validates and revokes codes and tokens."""

    def __init__(self, config: Config, clock: Clock, stats: Stats) -> None:
        self._config, self._clock, self._stats = config, clock, stats
        self._rng = Random(f"{config.seed} tokens")
        self._lock = RLock()
        self._codes: dict[str, _Code] = {}
        self._by_access: dict[str, Pair] = {}
        self._by_refresh: dict[str, Pair] = {}

    def new_code(self, redirect_uri: str, scope: str) -> str:
        with self._lock:
            code = self._random_text(24)
            self._codes[code] = _Code(redirect_uri, scope, self._clock.now() + self._config.code_seconds)
            return code

    def exchange(self, code: str, redirect_uri: str) -> Pair:
        """Exchange a code for a pair, and revoke all earlier pairs. Raises InvalidGrantError."""
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
        """Exchange a refresh token for a new pair, and revoke the old one. Raises InvalidGrantError."""
        with self._lock:
            pair = self._by_refresh.get(token)
            if pair is None:
                raise InvalidGrantError
            now = self._clock.now()
            if pair.successor is not None and now < pair.used_at + self._config.grace_seconds:
                return pair.successor
            if pair.revoked:
                self._stats.count("dead_refresh_used")
                raise InvalidGrantError
            pair.revoked, pair.used_at = True, now
            pair.successor = self._make(pair.scope)
            self._stats.count("refreshed")
            return pair.successor

    def issue(self, scope: str = "") -> Pair:
        """Issue a pair without authorization, for all scopes unless some are named."""
        with self._lock:
            self._stats.count("issued")
            return self._make(scope or " ".join(sorted(SCOPES)))

    def find_valid(self, access: str) -> Pair | None:
        """Return the pair of a valid access token, otherwise None."""
        pair = self._by_access.get(access)
        if pair is not None and not pair.revoked and self._clock.now() < pair.expires_at:
            return pair
        if pair is not None:
            self._stats.count("dead_access_used")
        return None

    def revoke(self, token: str) -> None:
        """Revoke the pair of an access or refresh token. Unknown tokens are ignored (RFC 7009)."""
        with self._lock:
            pair = self._by_access.get(token) or self._by_refresh.get(token)
            if pair is not None:
                pair.revoked = True

    def revoke_all(self) -> None:
        with self._lock:
            for pair in self._by_access.values():
                pair.revoked = True

    def expire_access(self) -> None:
        """Expire all access tokens now. Their refresh tokens stay valid."""
        with self._lock:
            for pair in self._by_access.values():
                pair.expires_at = min(pair.expires_at, self._clock.now())

    def answer(self, pair: Pair) -> dict[str, Any]:
        """Return the JSON of the token endpoint."""
        return {
            "access_token": pair.access,
            "token_type": "Bearer",
            "expires_in": round(pair.expires_at - self._clock.now()),
            "refresh_token": pair.refresh,
            "scope": pair.scope,
        }

    def _make(self, scope: str) -> Pair:
        expires_at = self._clock.now() + self._config.lifetime_seconds
        pair = Pair(self._random_text(30), self._random_text(30), scope, expires_at)
        self._by_access[pair.access] = self._by_refresh[pair.refresh] = pair
        return pair

    def _random_text(self, length: int) -> str:
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
        return "".join(self._rng.choices(letters, k=length))
