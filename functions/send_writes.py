"""`send_writes`: a program added an entry to the outbox, and it is sent at once.

Eventarc says which document was created, with its content in the body, which is not read: the document itself counts.
What cannot be sent now waits in the outbox for the next sync.
"""

from __future__ import annotations

from shared.log import log
from shared.outbox.attempt import Sent
from shared.outbox.entries import COLLECTION
from shared.outbox.work import Work


def handle(document: object, work: Work) -> Sent | None:
    """Send the entry of a created document. document: of the event's attributes, `outbox/<key>`.

    None where it is none. Raises StoreUnavailable, upon which Eventarc delivers again.
    """
    collection, _, key = document.partition("/") if isinstance(document, str) else ("", "", "")
    if collection != COLLECTION or not key or "/" in key:
        log("event.unusable", "ERROR", reason="no_entry")
        return None
    return work.send(key)
