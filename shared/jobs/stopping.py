"""Which errors end a whole run, and which concern only one target."""

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
    """The run ends here, and the next one continues.

    reason: `deadline`, `quota`, `revoked`, `token`, `unavailable` (DrChrono is down), `running` (another run has the
    lease) or `restarted` (the job was started again meanwhile).
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@contextmanager
def stops() -> Iterator[None]:
    """Raise errors that end the whole run as Stopped."""
    try:
        yield
    except SyncError as error:
        reason = stop_reason(error)
        if reason is None:
            raise
        raise Stopped(reason) from None


def stop_reason(error: SyncError) -> str | None:
    """Return why `error` ends the whole run, or None if it concerns only one target."""
    if isinstance(error, QuotaExhausted | Throttled):
        return "quota"
    if isinstance(error, TokenError):
        return "revoked" if error.reason in ("token_revoked", "token_missing") else "token"
    return None


def is_unavailable(error: SyncError) -> bool:
    """Whether `error` may mean that DrChrono is down, or that it rejects every token."""
    return isinstance(error, ServerError | Unreachable | MalformedAnswer | Unauthorized)
