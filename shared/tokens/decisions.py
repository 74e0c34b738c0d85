"""What a token state allows at a given time, and how a refresh without a new pair ends. Pure decisions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from shared.tokens.state import Phase, TokenState
from shared.tokens.token import Refused, Unavailable, Unknown

# If the API rejects a token that was refreshed after a rejection, another refresh is unlikely to help. This pause keeps
# a DrChrono that answers 401 to everything from being asked for tokens in a loop.
REJECTED_PAUSE_SECONDS = 30
FIRST_BACKOFF_SECONDS = 5
LONGEST_BACKOFF_SECONDS = 300
# A wrong client secret needs a deployment. Four attempts an hour notice it soon enough.
REFUSED_PAUSE_SECONDS = 900


class Step(Enum):
    """What a caller that needs an access token does next."""

    USE = "use the stored token"
    REFRESH = "take the lease and refresh"
    WAIT = "another instance is refreshing"
    POSTPONE = "no refresh may begin yet"
    STOP = "only a new authorization helps"


def next_step(state: TokenState, now: datetime, *, unusable: bool) -> Step:
    """Return what to do about the stored token.

    unusable: the API rejected its access token, or its secret version cannot be read.
    Within the expiry margin, a token is refreshed if a refresh can begin now, and used if not.
    """
    if state.phase.final:
        return Step.STOP
    if not unusable and state.validity.fresh(now):
        return Step.USE
    alive = not unusable and state.validity.alive(now)
    if state.lease.held(now):
        return Step.USE if alive else Step.WAIT
    if blocked_until(state, now, unusable=unusable) is not None:
        return Step.USE if alive else Step.POSTPONE
    return Step.REFRESH


def blocked_until(state: TokenState, now: datetime, *, unusable: bool) -> datetime | None:
    """Return the time before which no refresh may begin, or None if one may begin now."""
    times = [state.retry_at] if state.retry_at is not None else []
    if unusable and state.rejected_at is not None:
        times.append(state.rejected_at + timedelta(seconds=REJECTED_PAUSE_SECONDS))
    return max((time for time in times if now < time), default=None)


def refresh_is_due(state: TokenState, now: datetime) -> bool:
    """Return whether the scheduled job refreshes: at half of the lifetime, and always in phase `sent`."""
    return state.phase is Phase.SENT or state.validity.half_gone(now)


def backoff(attempts: int, random: float) -> timedelta:
    """Return the pause after `attempts` failed refreshes, 2.5 to 300 s. `random` (0 to 1) shortens it by up to half."""
    seconds = min(FIRST_BACKOFF_SECONDS * 2.0 ** min(attempts - 1, 10), LONGEST_BACKOFF_SECONDS)
    return timedelta(seconds=seconds * (1 - random / 2))


@dataclass(frozen=True)
class Failure:
    """The end of a refresh without a new pair. `retry_at` is None if the phase is final."""

    phase: Phase
    reason: str
    retry_at: datetime | None


def failure(
    answer: Refused | Unavailable | Unknown, lease: TokenState, *, uncertain: bool, now: datetime, random: float
) -> Failure:
    """Return how a refresh ends after `answer`.

    lease: the state when the lease was taken. uncertain: an earlier request with the same refresh token got no answer,
    so a refusal may mean that this earlier request had spent the token.
    """
    match answer:
        case Refused(final=True):
            return Failure(Phase.LOST if uncertain else Phase.REVOKED, answer.reason, None)
        case Refused():
            until = now + timedelta(seconds=REFUSED_PAUSE_SECONDS)
            return Failure(Phase.SENT if uncertain else Phase.REFUSED, answer.reason, until)
        case Unavailable(unspent=True) if not uncertain:
            phase = lease.phase
        case _:
            phase = Phase.SENT
    stated = answer.until if isinstance(answer, Unavailable) else None
    return Failure(phase, answer.reason, stated or now + backoff(lease.attempts + 1, random))
