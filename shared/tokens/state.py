"""The document `sync_state/token`: which secret version holds the living pair, its state, and who may act on it.

It holds no secret. What its `state` means:

    ok        the pair that `version` names is the newest there is
    sent      its refresh token was sent and no end of that is recorded: it may be used up
    refused   DrChrono refuses this application (client id or secret), not the token: asked again, seldom
    revoked   DrChrono refused the refresh token: final until authorized again
    lost      the same, after a `sent` that nobody answered for: the answer with the new pair was lost

Under `sent`, `revoked` and `lost` a newer version may yet turn up in the vault, stored by an instance that could not
say so any more; whoever holds the lease looks for it before anything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from enum import Enum, StrEnum
from typing import Any

from shared.errors import TokenMissing, TokenRevoked, TokenUnavailable
from shared.tokens.token import Token, Validity

# Longer than everything a holder does at most: showing that the vault can be written (5 s), recording (10 s), the
# request and its one repeat (15 s each), storing.
LEASE_SECONDS = 60
# Lapsed by the holder's clock and by that of one who runs two minutes ahead of it.
CLOCK_SKEW_SECONDS = 120
# No request begins with less of the lease than it may take, and its answer's storing besides.
SEND_NEEDS_SECONDS = 25
# Where the API refuses a token that was refreshed because it refused the last one, refreshing is not the cure.
REJECTED_PAUSE_SECONDS = 30
FIRST_BACKOFF_SECONDS = 5
LONGEST_BACKOFF_SECONDS = 300
# A wrong client secret is mended by a deployment; asking four times an hour finds that out soon enough.
REFUSED_PAUSE_SECONDS = 900

AUTHORIZE = "python -m ops authorize"

_NEVER = datetime(1970, 1, 1, tzinfo=timezone.utc)
_NO_VALIDITY = Validity(obtained_at=_NEVER, expires_at=_NEVER)


class Phase(StrEnum):
    OK = "ok"
    SENT = "sent"
    REFUSED = "refused"
    REVOKED = "revoked"
    LOST = "lost"

    @property
    def final(self) -> bool:
        return self in (Phase.REVOKED, Phase.LOST)


@dataclass(frozen=True)
class Lease:
    """Who may refresh, until when by the owner's clock. `fence` grows with each taking; no owner: free."""

    owner: str
    until: datetime
    fence: int

    def held(self, now: datetime) -> bool:
        """As another instance sees it."""
        return bool(self.owner) and now < self.until + timedelta(seconds=CLOCK_SKEW_SECONDS)

    def enough_left(self, now: datetime) -> bool:
        """As its owner sees it: whether a request may still begin."""
        return now + timedelta(seconds=SEND_NEEDS_SECONDS) <= self.until


_NO_LEASE = Lease(owner="", until=_NEVER, fence=0)


@dataclass(frozen=True)
class TokenState:
    """version: number of the secret version, 0 before the first. generation: of the pair in it, 0 before the first.

    attempts: refreshes of this generation that were begun. retry_at: none begins before. reason: machine word of the
    last failure. rejected_at: when a refresh was last begun because the API had refused the access token.
    """

    version: int = 0
    generation: int = 0
    validity: Validity = _NO_VALIDITY
    scope: str = ""
    state: Phase = Phase.OK
    lease: Lease = _NO_LEASE
    attempts: int = 0
    retry_at: datetime | None = None
    reason: str = ""
    rejected_at: datetime | None = None

    @classmethod
    def from_document(cls, data: Mapping[str, Any] | None) -> TokenState:
        if data is None:
            return cls()
        return cls(
            version=data["version"],
            generation=data["generation"],
            validity=Validity(data["obtained_at"], data["expires_at"]),
            scope=data["scope"],
            state=Phase(data["state"]),
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
            "state": self.state.value,
            "lease": {"owner": self.lease.owner, "until": self.lease.until, "fence": self.lease.fence},
            "attempts": self.attempts,
            "retry_at": self.retry_at,
            "reason": self.reason,
            "rejected_at": self.rejected_at,
        }

    def leased(self, owner: str, now: datetime, *, rejected: bool) -> TokenState:
        lease = Lease(owner=owner, until=now + timedelta(seconds=LEASE_SECONDS), fence=self.lease.fence + 1)
        return replace(self, lease=lease, rejected_at=now if rejected else self.rejected_at)

    def released(self) -> TokenState:
        return replace(self, lease=replace(self.lease, owner=""))

    def sent(self) -> TokenState:
        return replace(self, state=Phase.SENT, attempts=self.attempts + 1)

    def put_off(self, state: Phase, reason: str, until: datetime) -> TokenState:
        return replace(self, state=state, reason=reason, retry_at=until).released()

    def ended(self, state: Phase, reason: str) -> TokenState:
        return replace(self, state=state, reason=reason, retry_at=None).released()

    def moved(self, version: int, token: Token) -> TokenState:
        """To a newer pair: nothing of the old one's troubles is left. The generation never goes back.

        Done twice, it changes nothing: a commit whose answer was lost is tried again.
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


class Step(Enum):
    """What to do about a pointer."""

    USE = "its token is good"
    REFRESH = "take the lease and refresh"
    WAIT = "another instance is refreshing"
    POSTPONE = "not before a stated time"
    STOP = "only a new authorization helps"


def next_step(pointer: TokenState, now: datetime, *, unusable: bool) -> Step:
    """`unusable`: the API refused the pointer's access token, or its secret version cannot be read.

    A token inside its margin is refreshed where that can be done now, and used where it cannot.
    """
    if pointer.state.final:
        return Step.STOP
    if not unusable and pointer.validity.fresh(now):
        return Step.USE
    serves = not unusable and pointer.validity.alive(now)
    if pointer.lease.held(now):
        return Step.USE if serves else Step.WAIT
    if postponed_until(pointer, now, unusable=unusable) is not None:
        return Step.USE if serves else Step.POSTPONE
    return Step.REFRESH


def postponed_until(pointer: TokenState, now: datetime, *, unusable: bool) -> datetime | None:
    """The time before which no refresh may begin, or None."""
    times = [pointer.retry_at] if pointer.retry_at is not None else []
    if unusable and pointer.rejected_at is not None:
        times.append(pointer.rejected_at + timedelta(seconds=REJECTED_PAUSE_SECONDS))
    return max((time for time in times if now < time), default=None)


def refresh_is_due(pointer: TokenState, now: datetime) -> bool:
    """For the scheduled job: an open end is closed by it, too, however long the token still lives."""
    return pointer.state is Phase.SENT or pointer.validity.half_gone(now)


def backoff(attempts: int, random: float) -> timedelta:
    """The pause after `attempts` refreshes in vain; `random` (0-1) spreads the instances over half of it."""
    seconds = min(FIRST_BACKOFF_SECONDS * 2.0 ** min(attempts - 1, 10), LONGEST_BACKOFF_SECONDS)
    return timedelta(seconds=seconds * (1 - random / 2))


def missing() -> TokenMissing:
    return TokenMissing(f"DrChrono was never authorized: run `{AUTHORIZE}`")


def revoked(pointer: TokenState) -> TokenRevoked:
    """What to tell after DrChrono's clear no."""
    if pointer.state is Phase.LOST:
        return TokenRevoked(
            "the answer to a token refresh was lost, and DrChrono refuses the refresh token that was sent with it; "
            f"records wait in the work queue: run `{AUTHORIZE}`"
        )
    if pointer.state.final:
        return TokenRevoked(
            "DrChrono refused the refresh token: it was revoked, or the same user was authorized elsewhere; "
            f"records wait in the work queue: run `{AUTHORIZE}`"
        )
    return TokenRevoked(
        f"DrChrono refused to refresh the token ({pointer.reason}): correct DRCHRONO_CLIENT_ID, DRCHRONO_CLIENT_SECRET "
        f"or DRCHRONO_URL; if they are right, run `{AUTHORIZE}`"
    )


def postponed(pointer: TokenState, now: datetime, *, unusable: bool) -> TokenUnavailable | TokenRevoked:
    """What to tell while no refresh may begin."""
    if pointer.state is Phase.REFUSED:
        return revoked(pointer)
    until = postponed_until(pointer, now, unusable=unusable)
    when = f"after {until:%Y-%m-%d %H:%M:%S} UTC" if until is not None else "soon"
    why = pointer.reason or "DrChrono refuses the access token, too, that was just refreshed"
    return TokenUnavailable(f"the token could not be refreshed ({why}): it is tried again {when}")
