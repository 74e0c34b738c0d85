"""What an error of the client means for an entry that was being sent. Pure.

- `rejected`: 400, 409, 404, 403 and other refusals. Nothing was done.
- `waiting`: the quota, a 429, no token, a 401, no connection, or a store that failed before. Nothing was sent, or
  DrChrono refused it before processing it.
- `unknown`: a time-out, a reset, 408, 5xx, a 2xx that cannot be read, redirects that lead nowhere, and everything else.
"""

from __future__ import annotations

import re

from shared.errors import (
    BadRequest,
    Conflict,
    DrChronoError,
    Forbidden,
    NotFound,
    QuotaExhausted,
    StoreUnavailable,
    SyncError,
    Throttled,
    TokenError,
    Unauthorized,
    Unreachable,
)

# Nothing was done, and the same request may succeed later.
NOT_DONE = (QuotaExhausted, Throttled, TokenError, Unauthorized, Unreachable, StoreUnavailable)


def refusal(error: SyncError) -> str | None:
    """Return the reason why DrChrono refuses; None if `error` is not a refusal.

    "Potential duplicate patient(s) found" comes as 400 or 409, and an overlap as 409 on POST and PATCH (API
    documentation, and recorded answers).
    """
    if isinstance(error, BadRequest | Conflict):
        said = " ".join(text for texts in error.complaints.values() for text in texts)
        if re.search(r"\bduplicate", said, re.IGNORECASE):
            return "duplicate"
        if re.search(r"\boverlap", said, re.IGNORECASE):
            return "overlap"
        return "conflict" if isinstance(error, Conflict) else "invalid"
    return error.reason if isinstance(error, NotFound | Forbidden) else None


def complaints(error: SyncError) -> dict[str, list[str]]:
    """Return DrChrono's complaints by field."""
    return {name: list(texts) for name, texts in error.complaints.items()} if isinstance(error, DrChronoError) else {}
