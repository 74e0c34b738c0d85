"""The document `sync_state/token`: which secret version holds the current pair, its phase, and who may refresh it.

The document holds no secret. Its field `state` is the phase:

    ok        `version` holds the newest pair
    sent      the refresh token was sent and no outcome is recorded: it may be spent
    refused   DrChrono refuses this application (client id or secret), not the token: retried every 15 minutes
    revoked   DrChrono refused the refresh token: final until someone authorizes again
    lost      as `revoked`, after a `sent` without an answer: the answer with the new pair was lost

In `sent`, `revoked` and `lost`, the secret may still get a newer version from an instance that could not update this
document. The next lease holder looks for it before anything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from enum import StrEnum
from typing import Any

from shared.tokens.token import Token, Validity

# Longer than the longest refresh: checking that the secret is writable (5 s), recording `sent` (10 s), the request and
# its one repeat (15 s each), storing the pair.
LEASE_SECONDS = 60
# Other instances wait this much longer, because the holder's clock may be two minutes behind theirs.
CLOCK_SKEW_SECONDS = 120
# The time that one request (15 s) and storing its answer may take. With less of the lease left, none is sent.
SEND_NEEDS_SECONDS = 25

_NEVER = datetime(1970, 1, 1, tzinfo=timezone.utc)
_NO_VALIDITY = Validity(obtained_at=_NEVER, expires_at=_NEVER)


class Phase(StrEnum):
    """The phases of a token state, as the module's docstring describes them."""

    OK = "ok"
    SENT = "sent"
    REFUSED = "refused"
    REVOKED = "revoked"
    LOST = "lost"

    @property
    def final(self) -> bool:
        """Whether only a new authorization helps."""
        return self in (Phase.REVOKED, Phase.LOST)


@dataclass(frozen=True)
class Lease:
    """The exclusive right to refresh, until a time by the owner's clock. An empty `owner` means that it is free.

    fence: the fencing token. It grows each time the lease is taken, and the store rejects writes with an older one.
    """

    owner: str
    until: datetime
    fence: int

    def held(self, now: datetime) -> bool:
        """Return whether other instances must treat the lease as taken. `now` is by the caller's clock."""
        return bool(self.owner) and now < self.until + timedelta(seconds=CLOCK_SKEW_SECONDS)

    def enough_left(self, now: datetime) -> bool:
        """Return whether the owner may still begin a request. `now` is by the owner's clock."""
        return now + timedelta(seconds=SEND_NEEDS_SECONDS) <= self.until


_NO_LEASE = Lease(owner="", until=_NEVER, fence=0)


@dataclass(frozen=True)
class TokenState:
    """The document `sync_state/token`, without a secret.

    version: number of the secret version with the current pair; 0 before the first.
    generation: counts pairs; 0 before the first.
    attempts: how often the refresh token of this generation was sent.
    retry_at: no refresh begins before this time.
    reason: machine word of the last failure.
    rejected_at: when a refresh last began because the API had rejected the access token (401).
    """

    version: int = 0
    generation: int = 0
    validity: Validity = _NO_VALIDITY
    scope: str = ""
    phase: Phase = Phase.OK
    lease: Lease = _NO_LEASE
    attempts: int = 0
    retry_at: datetime | None = None
    reason: str = ""
    rejected_at: datetime | None = None

    @classmethod
    def from_document(cls, data: Mapping[str, Any] | None) -> TokenState:
        """Return the state that `to_document` wrote. Without a document, return the state before any authorization."""
        if data is None:
            return cls()
        return cls(
            version=data["version"],
            generation=data["generation"],
            validity=Validity(data["obtained_at"], data["expires_at"]),
            scope=data["scope"],
            phase=Phase(data["state"]),
            lease=Lease(**data["lease"]),
            attempts=data["attempts"],
            retry_at=data["retry_at"],
            reason=data["reason"],
            rejected_at=data["rejected_at"],
        )

    def to_document(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "generation": self.generation,
            "obtained_at": self.validity.obtained_at,
            "expires_at": self.validity.expires_at,
            "scope": self.scope,
            "state": self.phase.value,
            "lease": {"owner": self.lease.owner, "until": self.lease.until, "fence": self.lease.fence},
            "attempts": self.attempts,
            "retry_at": self.retry_at,
            "reason": self.reason,
            "rejected_at": self.rejected_at,
        }

    def leased(self, owner: str, now: datetime, *, rejected: bool) -> TokenState:
        """Return the state with a new lease and the next fencing token. rejected: a 401 is why `owner` refreshes."""
        lease = Lease(owner=owner, until=now + timedelta(seconds=LEASE_SECONDS), fence=self.lease.fence + 1)
        return replace(self, lease=lease, rejected_at=now if rejected else self.rejected_at)

    def released(self) -> TokenState:
        return replace(self, lease=replace(self.lease, owner=""))

    def sent(self) -> TokenState:
        """Return the state to record before the refresh token is sent."""
        return replace(self, phase=Phase.SENT, attempts=self.attempts + 1)

    def failed(self, phase: Phase, reason: str, retry_at: datetime | None) -> TokenState:
        """Return the state after a refresh without a new pair. It releases the lease."""
        return replace(self, phase=phase, reason=reason, retry_at=retry_at).released()

    def replaced_by(self, version: int, token: Token) -> TokenState:
        """Return the state for the newer pair in `version`: phase `ok`, no failures, lease released.

        The generation never decreases. Applied twice, this changes nothing, since a commit whose answer was lost is
        repeated.
        """
        if self.version == version:
            return self
        return TokenState(
            version=version,
            generation=max(token.generation, self.generation + 1),
            validity=token.validity,
            scope=token.scope,
            lease=self.lease,
            rejected_at=self.rejected_at,
        ).released()
