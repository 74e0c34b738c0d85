"""The errors that callers of the token refresher see. Each message says what happened and what to do."""

from __future__ import annotations

from datetime import datetime

from shared.errors import TokenMissing, TokenRevoked, TokenUnavailable
from shared.tokens.decisions import blocked_until
from shared.tokens.state import Phase, TokenState

AUTHORIZE = "python -m ops authorize"


def never_authorized() -> TokenMissing:
    return TokenMissing(f"DrChrono was never authorized: run `{AUTHORIZE}`")


def unreadable(version: int) -> TokenMissing:
    return TokenMissing(
        f"version {version} of the token secret cannot be read, and there is no newer version: "
        f"enable it again, or run `{AUTHORIZE}`"
    )


def revoked(state: TokenState) -> TokenRevoked:
    """Return the error for a state in which DrChrono refused the refresh token or the application."""
    if state.phase is Phase.LOST:
        return TokenRevoked(
            "the answer to a token refresh was lost, and DrChrono refuses the refresh token that was sent; "
            f"records wait in the work queue: run `{AUTHORIZE}`"
        )
    if state.phase.final:
        return TokenRevoked(
            "DrChrono refused the refresh token: it was revoked, or the same user was authorized elsewhere; "
            f"records wait in the work queue: run `{AUTHORIZE}`"
        )
    return TokenRevoked(
        f"DrChrono refused to refresh the token ({state.reason}): correct DRCHRONO_CLIENT_ID, DRCHRONO_CLIENT_SECRET "
        f"or DRCHRONO_URL; if they are right, run `{AUTHORIZE}`"
    )


def postponed(state: TokenState, now: datetime, *, unusable: bool) -> TokenUnavailable | TokenRevoked:
    """Return the error for a state in which no refresh may begin yet. `unusable` as in `next_step`."""
    if state.phase is Phase.REFUSED:
        return revoked(state)
    until = blocked_until(state, now, unusable=unusable)
    when = f"after {until:%Y-%m-%d %H:%M:%S} UTC" if until is not None else "soon"
    why = state.reason or "DrChrono also rejects the access token that was just refreshed"
    return TokenUnavailable(f"the token could not be refreshed ({why}): the next attempt is {when}")
