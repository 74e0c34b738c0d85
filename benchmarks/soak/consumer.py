"""A subscriber of the change feed. It keeps the last version of each record, and records every violation."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, NamedTuple

from google.api_core.exceptions import AlreadyExists, GoogleAPICallError
from google.pubsub_v1 import SubscriberClient
from google.pubsub_v1.types import Subscription

from benchmarks.soak.plan import LINKED_FIELDS
from local.subscription import CHANGES
from shared.documents import Documents
from shared.drchrono.ids import document_id
from shared.drchrono.kinds import KINDS
from shared.feed.entries import COLLECTION, version_of
from shared.records.storable import META

NAME = "soak"
ACKNOWLEDGE_SECONDS = 10  # Pub/Sub's minimum, so that messages lost in a freeze are soon redelivered
PULL_SECONDS = 1.0
QUIET_SECONDS = 2.0
CATCH_UP_SECONDS = 30.0


class Known(NamedTuple):
    version: int
    deleted: bool


@dataclass
class Followed:
    """known: the last version of each record, by `<kind>/<name of its document>`. duplicates: number of messages whose
    version had already arrived. seconds: for each version, from stored to arrived.

    wrong: versions that arrived late, were missing, or arrived with two different contents. signed: changes that were
    published although only the signature of a link differed.
    """

    known: dict[str, Known] = field(default_factory=dict)
    duplicates: int = 0
    seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    signed: list[str] = field(default_factory=list)
    _read: dict[str, int] = field(default_factory=dict)
    _last: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _messages: set[str] = field(default_factory=set)

    def read(self, versions: Mapping[str, Known]) -> None:
        """Start from the versions in the copy. Messages up to these versions are ignored."""
        self.known |= versions
        self._read |= {path: known.version for path, known in versions.items()}

    def see(self, message: str, change: Mapping[str, Any], at: datetime) -> None:
        """message: its identity. A redelivered message has the same identity, and may arrive late."""
        if message in self._messages or change["operation"] == "filled":
            return
        self._messages.add(message)
        path, version = f"{change['kind']}/{document_id(change['id'])}", change["version"]
        known = self.known.get(path, Known(0, deleted=False)).version
        if version <= self._read.get(path, 0):
            return
        if version == known:
            self.duplicates += 1
            if change != self._last[path]:
                self.wrong.append(f"{path}: version {version} came as two changes")
            return
        if version != known + 1:
            self.wrong.append(f"{path}: version {version} came after {known}")
        if change["operation"] == "changed" and set(change["fields"]) <= LINKED_FIELDS:
            self.signed.append(f"{path}: version {version}")
        self._last[path] = change
        self.known[path] = Known(max(version, known), change["operation"] == "deleted")
        self.seconds.append((at - datetime.fromisoformat(change["stored_at"])).total_seconds())

    def differing(self, copy: Mapping[str, Known]) -> list[str]:
        return [
            f"{path}: {self.known.get(path)} for {copy.get(path)}"
            for path in sorted(self.known.keys() | copy.keys())
            if self.known.get(path) != copy.get(path)
        ]


def versions(documents: Documents) -> dict[str, Known]:
    """Return the versions in the copy."""
    return {
        f"{kind}/{name}": Known(version_of(data[META]), data[META]["deleted"])
        for kind in KINDS
        for name, data in documents.query(kind, fields=[META])
    }


def unsent(documents: Documents) -> set[str]:
    """Return the paths of the records with unpublished versions."""
    return {name.replace(":", "/", 1) for name, _ in documents.query(COLLECTION, fields=["kind"])}


class Consumer:
    """Pulls in its own thread within a `with` block."""

    def __init__(self, project: str, documents: Documents) -> None:
        self.followed = Followed()
        self._documents = documents
        self._subscriber = SubscriberClient()
        self._topic = f"projects/{project}/topics/{CHANGES}"
        self._subscription = f"projects/{project}/subscriptions/{NAME}"
        self._ended = threading.Event()
        self._heard = time.monotonic()
        self._thread = threading.Thread(target=self._pull, name="consumer", daemon=True)

    def __enter__(self) -> Consumer:
        """Subscribe first, and read the copy after that, so that no change is missed in between."""
        self.subscribe()
        self.followed.read(versions(self._documents))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def subscribe(self) -> None:
        with contextlib.suppress(AlreadyExists):
            self._subscriber.create_subscription(
                request=Subscription(
                    name=self._subscription,
                    topic=self._topic,
                    enable_message_ordering=True,
                    ack_deadline_seconds=ACKNOWLEDGE_SECONDS,
                )
            )

    def catch_up(self) -> list[str]:
        """Wait for all published versions, at most CATCH_UP_SECONDS. Return the records that still differ."""
        began = time.monotonic()
        while True:
            copy, waiting = versions(self._documents), unsent(self._documents)
            behind = self.followed.differing(copy)
            known = not any(path.partition(": ")[0] not in waiting for path in behind)
            quiet = time.monotonic() - max(began, self._heard)
            if (known and quiet > QUIET_SECONDS) or time.monotonic() - began > CATCH_UP_SECONDS:
                return behind
            time.sleep(0.5)

    def _pull(self) -> None:
        request = {"subscription": self._subscription, "max_messages": 100}
        while not self._ended.is_set():
            try:
                pulled = self._subscriber.pull(request, timeout=PULL_SECONDS, retry=None).received_messages
                for one in pulled:
                    self._heard = time.monotonic()
                    # A restarted broker numbers its messages from the start again.
                    name = f"{one.message.message_id} of {one.message.publish_time}"
                    self.followed.see(name, json.loads(one.message.data), datetime.now(timezone.utc))
                if pulled:
                    acks = [one.ack_id for one in pulled]
                    self._subscriber.acknowledge(
                        subscription=self._subscription, ack_ids=acks, timeout=PULL_SECONDS, retry=None
                    )
            except GoogleAPICallError:  # no message came, or the broker is frozen, down or restarting
                self._ended.wait(0.1)
