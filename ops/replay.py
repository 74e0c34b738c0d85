"""Have the feed announce the current state of records again, at a bounded rate."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime

from shared.documents import Documents
from shared.drchrono.ids import id_of_document
from shared.drchrono.kinds import Kind
from shared.errors import SyncError
from shared.feed.entries import META
from shared.feed.outbox import Target
from shared.records.announcing import Feed
from shared.records.ordering import copy_of

# Records in one batch and in one second, since subscribers may read each of them from Firestore.
CHUNK_RECORDS = 50
RECORDS_A_SECOND = 50.0

WALK_DOCUMENTS = 500


class FeedOff(SyncError):
    reason = "feed_off"


def replay(
    feed: Feed | None,
    documents: Documents,
    kind: Kind,
    *,
    since: datetime | None = None,
    record: str | None = None,
    report: Callable[[int], None] = lambda done: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Counter[str]:
    """Return how many records were announced, and how many wait for the sync because the broker did not answer.

    since: only records that were stored at or after this time. record: only this id. Tombstones are announced as
    `deleted`. The version stays the same. Each message follows those that already wait for its record. Raises FeedOff
    and StoreUnavailable.
    """
    if feed is None:
        raise FeedOff("The feed is off: set feed = true in Terraform (DRCHRONO_FEED=on).")
    counts: Counter[str] = Counter()
    chunk: list[Target] = []

    def send() -> None:
        feed.outbox.ask_again(chunk)
        feed.relay.claim([target.name for target in chunk], counts)
        counts["asked"] += len(chunk)
        report(counts["asked"])
        sleep(len(chunk) / RECORDS_A_SECOND)
        chunk.clear()

    for key in [record] if record is not None else _stored(documents, kind, since):
        chunk.append(Target(kind.name, key))
        if len(chunk) == CHUNK_RECORDS:
            send()
    if chunk:
        send()
    return counts


def _stored(documents: Documents, kind: Kind, since: datetime | None) -> Iterator[str]:
    after: str | None = None
    while True:
        page = list(documents.query(kind.name, limit=WALK_DOCUMENTS, after_id=after, fields=[META]))
        for name, document in page:
            if copy_of(document) is not None and (since is None or document[META]["stored_at"] >= since):
                yield id_of_document(name)
        if len(page) < WALK_DOCUMENTS:
            return
        after = page[-1][0]
