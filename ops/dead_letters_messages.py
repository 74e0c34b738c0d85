"""The messages of dead letters, as Pub/Sub or the embedded queue holds them.

Shows only what `shared.webhooks.events` can decode (event, kind, id, delivery), or why it cannot. The other content of
a message is never shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from shared.drchrono.kinds import KINDS
from shared.errors import MessageUnusable, SyncError
from shared.webhooks.events import EVENTS, decode

CALL_SECONDS = 10.0

# More than a person can choose from. Further messages appear when these are gone.
MOST = 1000


class QueueUnavailable(SyncError):
    """Pub/Sub or the embedded queue does not answer. The text contains the remedy."""

    reason = "queue_unavailable"


@dataclass(frozen=True)
class DeadLetter:
    """number: identifies it in `replay` and `discard`. handle: acknowledges it; valid for a short time only."""

    number: str
    published_at: datetime
    data: bytes = field(repr=False)
    attributes: Mapping[str, str] = field(repr=False)
    handle: str = field(default="", repr=False)

    def shown(self) -> dict[str, str]:
        """Return what may be shown: the decoded event, or of the attributes only values in our own tables."""
        seen = {"number": self.number, "published_at": self.published_at.isoformat()}
        event, kind = self.attributes.get("event", ""), self.attributes.get("kind", "")
        try:
            change = decode(self.data)
        except MessageUnusable as error:
            known = {"event": event if event in EVENTS else "", "kind": kind if kind in KINDS else ""}
            return {**seen, **known, "id": "", "delivery": "", "problem": error.reason}
        return {
            **seen,
            "event": change.event,
            "kind": change.kind,
            "id": change.id,
            "delivery": change.delivery,
            "problem": "",
        }
