"""The log lines of an entry: its name, its state and why."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime

from shared.log import Fields, log
from shared.outbox.entries import Entry, State
from shared.outbox.transitions import MALFORMED_GUARD


def shown_key(key: str) -> str:
    """Return the entry's name for the log, hashed unless Firestore made it: a program's own name may hold content."""
    return key if re.fullmatch(r"[A-Za-z0-9]{20}", key) else f"#{hashlib.sha256(key.encode()).hexdigest()[:12]}"


def log_entry(entry: Entry, now: datetime) -> None:
    fields: Fields = {
        "kind": entry.request.kind,
        "outcome": str(entry.state),
        "reason": entry.reason,
        "attempt": entry.attempts,
        "delivery": shown_key(entry.key),
        "seconds": round((now - entry.requested_at).total_seconds(), 3),
    }
    for_a_person = entry.state is State.UNKNOWN or entry.reason == MALFORMED_GUARD
    if entry.settled:
        log("outbox.settled", **fields)
    else:
        log("outbox.unsettled", "WARNING" if for_a_person else "INFO", **fields)


def log_no_request(key: str) -> None:
    """Log an entry that cannot be read."""
    log("outbox.settled", outcome="rejected", reason="invalid", delivery=shown_key(key))
