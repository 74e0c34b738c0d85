"""Builds the adapters to Firestore and Pub/Sub."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.documents import Documents
    from shared.feed.relay import Publish
    from shared.settings import CloudSettings

# Publishes one event: its data and its attributes.
Publisher = Callable[[bytes, Mapping[str, str]], None]


def documents(settings: CloudSettings) -> Documents:
    from shared.cloud.firestore import connect

    return connect(settings)


def outbox_documents(settings: CloudSettings, documents: Callable[[], Documents]) -> Documents:
    """Return the database of the outbox: that of the records, or one of its own."""
    from shared.cloud.firestore import connect

    if settings.outbox_database == settings.database:
        return documents()
    return connect(replace(settings, database=settings.outbox_database))


def publisher(settings: CloudSettings) -> Publisher:
    from shared.cloud.pubsub import connect

    return connect(settings).publish


def feed_publisher(settings: CloudSettings, topic: str) -> Publish:
    from shared.cloud.feed import FeedTopic

    return FeedTopic(settings, topic).publish
