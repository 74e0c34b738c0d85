"""DrChrono's token pair: the value, how long it counts as good, and what the token endpoint may answer.

A refresh token works once (DrChrono's OAuth is a fork of django-oauth-toolkit with rotation on and no grace): with
the answer to a refresh the old pair is dead, access token included. Access tokens live 48 hours on the live service
and one hour in the guide, so `expires_in` is used and never assumed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

# Two machines' clocks may differ by two minutes, and a request that begins with a good token may take one or two.
EXPIRY_MARGIN_SECONDS = 300
# Of a token that lives minutes, the margin above would leave nothing.
LARGEST_MARGIN_SHARE = 0.1
# Only for an answer without `expires_in`, which RFC 6749 allows: the guide's hour. A pair is never lost over it.
UNSTATED_LIFETIME_SECONDS = 3600


@dataclass(frozen=True)
class Validity:
    """When an access token was obtained and when it ends, by the clock of the instance that obtained it (UTC)."""

    obtained_at: datetime
    expires_at: datetime

    @property
    def lifetime(self) -> timedelta:
        return self.expires_at - self.obtained_at

    def alive(self, now: datetime) -> bool:
        return now < self.expires_at

    def fresh(self, now: datetime) -> bool:
        """Alive, and for longer than the margin: good for a request that begins now."""
        margin = min(timedelta(seconds=EXPIRY_MARGIN_SECONDS), self.lifetime * LARGEST_MARGIN_SHARE)
        return now < self.expires_at - margin

    def half_gone(self, now: datetime) -> bool:
        """When the scheduled job refreshes: a refresh that fails then leaves half a lifetime to repair it."""
        return now >= self.expires_at - self.lifetime / 2


@dataclass(frozen=True)
class Token:
    """A pair as it is stored. `generation` counts the pairs of this project: each refresh or authorization adds one."""

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
        """What `to_json` wrote, or None: a payload of another shape is no token, and its content is not repeated."""
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
    """A new pair. `refresh_token` is None where the server kept the old one valid; `expires_in` in seconds."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)
    expires_in: float | None
    scope: str


@dataclass(frozen=True)
class Refused:
    """A clear no. `reason` is OAuth's word; only `invalid_grant` says that the token or code itself is dead."""

    reason: str

    @property
    def final(self) -> bool:
        return self.reason == "invalid_grant"


@dataclass(frozen=True)
class Unavailable:
    """Not now: throttled, down or not reached. `unspent`: it is certain that the token was not used up.

    until: when the server said to come back, or None.
    """

    reason: str
    unspent: bool
    until: datetime | None = None


@dataclass(frozen=True)
class Unknown:
    """Sent, and no readable answer: the token may be used up, with the new pair lost on the way."""

    reason: str


Answer = Granted | Refused | Unavailable | Unknown


def read_grant(body: Any) -> Granted | None:
    """The token endpoint's 2xx body, parsed; None where it holds no access token."""
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
        seconds = float(value)  # type: ignore[arg-type]  # whatever it cannot read is caught
    except (TypeError, ValueError, OverflowError):
        return None
    # Less than a second or more than a century is no lifetime (and `nan` compares false with everything).
    return seconds if 1 <= seconds < 100 * 365 * 86400 else None


def to_token(granted: Granted, *, now: datetime, generation: int, before: Token | None = None) -> Token:
    """The pair to store. `before` is the pair whose refresh token was used: what the answer leaves out stays.

    The lifetime counts from `now`, when the answer was read; it ends some milliseconds early on DrChrono's side,
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
