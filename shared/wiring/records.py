"""Builds what fetches records, stores them and announces their changes."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.clock import utc_now
from shared.rate_limit.ledger import Lane

if TYPE_CHECKING:
    from shared.documents import Documents
    from shared.drchrono.client import DrChrono
    from shared.feed.relay import Publish
    from shared.queue.work_queue import WorkQueue
    from shared.records.absence import Absences
    from shared.records.announcing import Feed
    from shared.records.coverage import Coverages
    from shared.records.refresh import Refresh
    from shared.records.store import Records
    from shared.settings import FeedSettings
    from shared.tokens.refresher import TokenRefresher


def queue(documents: Documents) -> WorkQueue:
    from shared.queue.work_queue import WorkQueue

    return WorkQueue(documents, utc_now)


def feed(documents: Documents, settings: FeedSettings, publish: Callable[[], Publish]) -> Feed | None:
    """Return the feed, None if it is off. publish: called only when there is a message to send."""
    from shared.feed.filled import Fillings
    from shared.feed.outbox import Outbox
    from shared.feed.relay import Relay
    from shared.records.announcing import Feed

    if settings.mode == "off":
        return None
    outbox = Outbox(documents, utc_now)
    relay = Relay(
        outbox,
        publish=lambda messages: publish()(messages),
        now=utc_now,
        new_fence=lambda: uuid.uuid4().hex,
    )
    return Feed(outbox, relay, Fillings(documents), announces_all=settings.mode == "all")


def records(documents: Documents, feed: Feed | None, settings: FeedSettings) -> Records:
    from shared.records.announcing import Announcing
    from shared.records.store import Records

    history = timedelta(days=settings.history_days) if settings.history_days else None
    return Records(documents, utc_now, Announcing(documents, feed, history))


def absences(documents: Documents, records: Records, queue: WorkQueue) -> Absences:
    from shared.records.absence import Absences

    return Absences(documents, records, queue, utc_now)


def coverage(documents: Documents, client: Callable[[], DrChrono], tokens: Callable[[], TokenRefresher]) -> Coverages:
    """Return the coverage. client, tokens: called only to request the user, so stored coverage needs no credentials."""
    from shared.records.coverage import Coverages

    return Coverages(
        documents,
        current_user=lambda: client().in_lane(Lane.BACKGROUND).current_user(),
        scopes=lambda: tokens().report().scope,
        now=utc_now,
    )


def refresh(api: DrChrono, records: Records, queue: WorkQueue, absences: Absences) -> Refresh:
    from shared.records.refresh import Refresh

    return Refresh(api=api, records=records, queue=queue, absences=absences, now=utc_now)
