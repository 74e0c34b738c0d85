"""DrChrono's token pair: its value, its lifetime, and the possible answers of the token endpoint.

A refresh token works once: DrChrono's OAuth is a fork of django-oauth-toolkit with rotation and without a grace period.
A refresh invalidates the whole old pair, including the access token. Access tokens live 48 hours on the live service
and one hour in the guide, so the code relies on `expires_in`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

# Clocks of two machines may differ by two minutes, and a request may take one or two minutes after the check.
EXPIRY_MARGIN_SECONDS = 300
# For a token that lives only minutes, the margin above would cover the whole lifetime.
LARGEST_MARGIN_SHARE = 0.1
# For an answer without `expires_in`, which RFC 6749 allows: the guide's hour. Such an answer must not lose the pair.
UNSTATED_LIFETIME_SECONDS = 3600


@dataclass(frozen=True)
class Validity:
    """When an access token was obtained and when it expires (UTC), by the clock of the instance that obtained it."""

    obtained_at: datetime
    expires_at: datetime

    @property
    def lifetime(self) -> timedelta:
        return self.expires_at - self.obtained_at

    def alive(self, now: datetime) -> bool:
        return now < self.expires_at

    def fresh(self, now: datetime) -> bool:
        """Return whether the token is good for a request that begins now: alive for longer than the margin."""
        margin = min(timedelta(seconds=EXPIRY_MARGIN_SECONDS), self.lifetime * LARGEST_MARGIN_SHARE)
        return now < self.expires_at - margin

    def half_gone(self, now: datetime) -> bool:
        """Return whether the scheduled job refreshes. If that fails, half of the lifetime is left for a repair."""
        return now >= self.expires_at - self.lifetime / 2


@dataclass(frozen=True)
class Token:
    """A pair as it is stored. `generation` counts pairs: each refresh or authorization adds one."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    validity: Validity
    scope: str
    generation: int

    def to_json(self) -> str:
        return json.dumps(
            {
                "access_token": self.access_token,
                "refresh_token": self.refresh_token,
                "expires_at": self.validity.expires_at.isoformat(),
                "scope": self.scope,
                "generation": self.generation,
                "obtained_at": self.validity.obtained_at.isoformat(),
            }
        )

    @classmethod
    def from_json(cls, payload: str) -> Token | None:
        """Return the token that `to_json` wrote, or None for any other payload. Never raises."""
        try:
            value = json.loads(payload)
            token = cls(
                access_token=value["access_token"],
                refresh_token=value["refresh_token"],
                validity=Validity(_instant(value["obtained_at"]), _instant(value["expires_at"])),
                scope=value["scope"],
                generation=value["generation"],
            )
        except (ValueError, TypeError, KeyError, RecursionError):
            return None
        texts = (token.access_token, token.refresh_token, token.scope)
        plain = all(isinstance(text, str) for text in texts) and type(token.generation) is int
        return token if plain else None


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("no offset")
    return instant.astimezone(timezone.utc)


@dataclass(frozen=True)
class Granted:
    """A new pair. `refresh_token` is None if the answer has none: the old one stays valid. expires_in: seconds."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expires_in: float | None
    scope: str


@dataclass(frozen=True)
class Refused:
    """A definite refusal. `reason` is OAuth's error code, or `status_<code>`."""

    reason: str

    @property
    def final(self) -> bool:
        """Whether the token or code itself is invalid. Other reasons concern the application or the request."""
        return self.reason == "invalid_grant"


@dataclass(frozen=True)
class Unavailable:
    """A temporary failure: throttled, down or unreachable.

    unspent: the refresh token was certainly not spent. until: when the server allows the next request, or None.
    """

    reason: str
    unspent: bool
    until: datetime | None = None


@dataclass(frozen=True)
class Unknown:
    """The request was sent and got no readable answer: the token may be spent, and the new pair lost."""

    reason: str


Answer = Granted | Refused | Unavailable | Unknown


def read_grant(body: Any) -> Granted | None:
    """Return the grant in the parsed body of a 2xx answer; None if it has no access token."""
    if not isinstance(body, dict):
        return None
    access_token, refresh_token, scope = body.get("access_token"), body.get("refresh_token"), body.get("scope")
    if not isinstance(access_token, str) or not access_token:
        return None
    return Granted(
        access_token=access_token,
        refresh_token=refresh_token if isinstance(refresh_token, str) and refresh_token else None,
        expires_in=_seconds(body.get("expires_in")),
        scope=scope if isinstance(scope, str) else "",
    )


def _seconds(value: object) -> float | None:
    try:
        seconds = float(value)  # type: ignore[arg-type]  # any other type is caught
    except (TypeError, ValueError, OverflowError):
        return None
    # Reject lifetimes below a second or above a century, and `nan`, which compares false with everything.
    return seconds if 1 <= seconds < 100 * 365 * 86400 else None


def to_token(granted: Granted, *, now: datetime, generation: int, before: Token | None = None) -> Token:
    """Return the pair to store. `before` is the pair whose refresh token was sent; it fills in what the answer omits.

    The lifetime counts from `now`, when the answer was read. On DrChrono's side it ends some milliseconds earlier,
    which the margin covers.
    """
    lifetime = timedelta(seconds=granted.expires_in or UNSTATED_LIFETIME_SECONDS)
    return Token(
        access_token=granted.access_token,
        refresh_token=granted.refresh_token or (before.refresh_token if before else ""),
        validity=Validity(obtained_at=now, expires_at=now + lifetime),
        scope=granted.scope or (before.scope if before else ""),
        generation=generation,
    )
