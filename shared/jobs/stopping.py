"""What ends a whole run, and what only concerns the target at hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import (
    MalformedAnswer,
    QuotaExhausted,
    ServerError,
    SyncError,
    Throttled,
    TokenError,
    Unauthorized,
    Unreachable,
)


class Stopped(Exception):
    """The run ends here and the next goes on.

    reason: `deadline`, `quota`, `revoked`, `token`, `unavailable` (DrChrono is down), `running` (another run is at it)
    or `restarted` (somebody began the job anew).
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@contextmanager
def stops() -> Iterator[None]:
    """What ends a run though nothing is wrong with the work itself, as Stopped."""
    try:
        yield
    except SyncError as error:
        reason = stop_reason(error)
        if reason is None:
            raise
        raise Stopped(reason) from None


def stop_reason(error: SyncError) -> str | None:
    """Why `error` ends the whole run, or None where it concerns one target only."""
    if isinstance(error, QuotaExhausted | Throttled):
        return "quota"
    if isinstance(error, TokenError):
        return "revoked" if error.reason in ("token_revoked", "token_missing") else "token"
    return None


def is_unavailable(error: SyncError) -> bool:
    """Whether `error` may mean that DrChrono is down, or that no token is good any more."""
    return isinstance(error, ServerError | Unreachable | MalformedAnswer | Unauthorized)
