"""A store with the feed, a broker on a list, and a clock that the test moves: what the tests of the feed work with."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from shared.documents import Documents
from shared.drchrono.kinds import KINDS
from shared.feed.entries import Message
from shared.feed.filled import Fillings
from shared.feed.outbox import Outbox
from shared.feed.relay import Relay
from shared.records.announcing import Announcing, Feed
from shared.records.store import Records, Source, Stored

NOON = datetime(2026, 3, 10, 12, tzinfo=timezone.utc)
WEBHOOK = Source("webhook", NOON, "PATIENT_MODIFY", ("d-1",))
PATIENTS = KINDS["patients"]


@dataclass
class Broker:
    """works: whether it answers. hears: whether what it does not answer has arrived all the same."""

    works: bool = True
    hears: bool = False
    messages: list[Message] = field(default_factory=list)
    calls: int = 0

    def publish(self, messages: Sequence[Message]) -> set[int]:
        self.calls += 1
        if self.works or self.hears:
            self.messages += messages
        return set(range(len(messages))) if self.works else set()

    @property
    def told(self) -> list[dict[str, Any]]:
        return [json.loads(message.data) for message in self.messages]

    def versions(self) -> dict[str, list[int]]:
        found = defaultdict(list)
        for one in self.told:
            found[f"{one['kind']}/{one['id']}"].append(one["version"])
        return dict(found)


@dataclass
class Harness:
    documents: Documents
    broker: Broker = field(default_factory=Broker)
    announces_all: bool = False
    history: timedelta | None = None
    now: datetime = NOON

    def __post_init__(self) -> None:
        self._fences = itertools.count()
        self.outbox = Outbox(self.documents, lambda: self.now)
        self.records = self.instance()

    def relay(self) -> Relay:
        return Relay(self.outbox, self.broker.publish, lambda: self.now, lambda: f"fence-{next(self._fences)}")

    def instance(self) -> Records:
        """As another instance has them."""
        self.feed = Feed(self.outbox, self.relay(), Fillings(self.documents), announces_all=self.announces_all)
        return Records(self.documents, lambda: self.now, Announcing(self.documents, self.feed, self.history))

    def later(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now

    def store(self, key: str, source: Source = WEBHOOK, **fields: Any) -> Stored:
        """What a fetch saw that began a minute after the last."""
        return self.records.store(PATIENTS, key, {"id": int(key), **fields}, self.later(60), source)

    def delete(self, key: str) -> Stored:
        return self.records.mark_deleted(PATIENTS, key, self.later(60), WEBHOOK, "not_found")

    def sweep(self) -> None:
        self.relay().sweep(lambda: None, 1_000)

    def version(self, key: str) -> int:
        return int((self.documents.get(f"patients/{key}") or {})["_sync"]["version"])

    def waiting(self) -> int:
        return self.documents.count("feed")
