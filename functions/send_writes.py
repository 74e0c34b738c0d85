"""`send_writes`: sends an entry that a program has just added to the outbox.

Eventarc names the created document. The function reads the stored document, not the content in the event. An entry that
cannot be sent now waits in the outbox for the next sync.
"""

from __future__ import annotations

from shared.log import log
from shared.outbox.attempt import Sent
from shared.outbox.entries import COLLECTION
from shared.outbox.work import Work


def handle(document: object, work: Work) -> Sent | None:
    """Send the entry of a created document. document: `outbox/<key>`, from the event's attributes.

    Return None if it names no entry. Raises StoreUnavailable; Eventarc then delivers again.
    """
    collection, _, key = document.partition("/") if isinstance(document, str) else ("", "", "")
    if collection != COLLECTION or not key or "/" in key:
        log("event.unusable", "ERROR", reason="no_entry")
        return None
    return work.send(key)
