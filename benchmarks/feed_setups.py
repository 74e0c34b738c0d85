"""The stores and brokers of the feed benchmark, and what they record: the embedded ones, and Google's emulators."""

from __future__ import annotations

import json
import threading
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from google.api_core.exceptions import DeadlineExceeded
from google.cloud import firestore
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.types import Subscription

from shared.cloud.feed import FeedTopic
from shared.cloud.firestore import FirestoreDocuments
from shared.documents import Documents
from shared.feed.entries import Message
from shared.feed.relay import Publish
from shared.records.storable import META
from shared.settings import cloud_settings
from workstation.embedded_documents import EmbeddedDocuments
from workstation.wiring import changes, into


def now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass
class RecordingPublisher:
    """Publishes, and records of each message the seconds from stored to published, and its size in bytes.

    versions: of each record, in order.
    """

    publish: Publish
    seconds: list[float] = field(default_factory=list)
    versions: defaultdict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    sizes: list[int] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, messages: Sequence[Message]) -> set[int]:
        published = self.publish(messages)
        at = now()
        with self._lock:
            for message in (messages[index] for index in sorted(published)):
                change = json.loads(message.data)
                self.seconds.append(age(message.data, at))
                self.versions[change["id"]].append(change["version"])
                self.sizes.append(size_of(message))
        return published

    def faults(self, documents: Documents) -> list[str]:
        """Return the records of which a version is missing or out of order. The same one twice in a row is no fault."""
        return [
            f"{key}: {self.versions[key]} of {data[META]['version']}"
            for key, data in documents.query("patients")
            if list(dict.fromkeys(self.versions[key])) != list(range(1, data[META]["version"] + 1))
            or self.versions[key] != sorted(self.versions[key])
        ]


def age(data: bytes, at: datetime) -> float:
    return (at - datetime.fromisoformat(json.loads(data)["stored_at"])).total_seconds()


def size_of(message: Message) -> int:
    attributes = sum(len(f"{name}{value}") for name, value in message.attributes.items())
    return len(message.data) + len(message.ordering_key) + attributes


class Arrivals:
    """A subscriber of the emulator, in order. seconds: from stored to arrived, of each message."""

    def __init__(self, project: str, topic: str) -> None:
        self.seconds: list[float] = []
        self._ended = threading.Event()
        self._subscriber, self._name = SubscriberClient(), f"projects/{project}/subscriptions/bench"
        self._subscriber.create_subscription(
            request=Subscription(name=self._name, topic=topic, enable_message_ordering=True, ack_deadline_seconds=60)
        )
        self._thread = threading.Thread(target=self._pull, daemon=True)

    def __enter__(self) -> Arrivals:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _pull(self) -> None:
        request = {"subscription": self._name, "max_messages": 100}
        pulled: list[Any] = []
        while pulled or not self._ended.is_set():
            try:
                pulled = list(self._subscriber.pull(request, timeout=1, retry=None).received_messages)
            except DeadlineExceeded:
                pulled = []
            at = now()
            self.seconds += [age(one.message.data, at) for one in pulled]
            if pulled:
                self._subscriber.acknowledge(subscription=self._name, ack_ids=[one.ack_id for one in pulled])


@dataclass
class Setup:
    """A store and a broker, both empty. arrivals: None for a broker without subscribers."""

    documents: Documents
    publisher: RecordingPublisher
    arrivals: Arrivals | None = None


def embedded(folder: Path) -> Setup:
    folder = folder / uuid.uuid4().hex
    folder.mkdir()
    return Setup(EmbeddedDocuments(folder / "documents.sqlite3"), RecordingPublisher(into(changes(folder))))


def emulated() -> Setup:
    project = f"bench-{uuid.uuid4().hex[:8]}"
    topic = f"projects/{project}/topics/drchrono-changes"
    PublisherClient().create_topic(name=topic)
    publisher = RecordingPublisher(FeedTopic(cloud_settings({"GCP_PROJECT": project}), "drchrono-changes").publish)
    return Setup(FirestoreDocuments(firestore.Client(project=project)), publisher, Arrivals(project, topic))
