"""From an edit at the practice to a row of the warehouse: simulator, receiver, store, feed, Pub/Sub and the loader.

The practice's time is virtual. Stores, broker and HTTP are real; a relay is killed where it talks to the broker.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from google.cloud import firestore
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.types import Subscription

from drchrono_reader import Copy, EmbeddedFile
from examples.bigquery.loader import DuckDB, Loader
from local.emulators import Emulators
from shared.cloud.feed import FeedTopic
from shared.drchrono.kinds import KINDS
from shared.feed.entries import Message
from shared.feed.outbox import Target
from shared.jobs import backfill, reconcile
from shared.jobs.sync import sync
from shared.settings import cloud_settings
from tests.clinic import simulator
from tests.feed.clinic import TellingClinic
from tests.mortal import Killed


@dataclass
class Broker:
    """The topic. dies: whether the process that publishes dies, `before` the broker has the message or `after` it."""

    topic: FeedTopic
    dies: str = ""
    killed: int = 0

    def publish(self, messages: Sequence[Message]) -> set[int]:
        published = set() if self.dies == "before" else self.topic.publish(messages)
        if self.dies:
            self.killed += 1
            raise Killed
        return published


class MortalClinic(TellingClinic[Broker]):
    def push(self, message: dict[str, Any]) -> None:
        """Where the function dies, the event comes again, to an instance that lives."""
        try:
            super().push(message)
        except Killed:
            self.broker.dies = ""
            self.restart()
            super().push(message)


@pytest.fixture(params=[("guide", "embedded"), ("live", "firestore_documents")], ids=["guide", "live"])
def practice(request: pytest.FixtureRequest, emulators: Emulators, project: str) -> Iterator[MortalClinic]:
    """One form on each store."""
    form, store = request.param
    PublisherClient().create_topic(name=f"projects/{project}/topics/drchrono-changes")
    broker = Broker(FeedTopic(cloud_settings({"GCP_PROJECT": project}), "drchrono-changes"))
    with simulator(form=form, patients=4, appointments=6, notes=2, children=1) as running:
        clinic = MortalClinic(running, request.getfixturevalue(store), broker=broker)
        with clinic.receiving():
            yield clinic


@pytest.fixture
def loader(practice: MortalClinic, project: str, tmp_path: Path) -> Loader:
    subscriber, subscription = SubscriberClient(), f"projects/{project}/subscriptions/warehouse"
    subscriber.create_subscription(
        request=Subscription(
            name=subscription,
            topic=f"projects/{project}/topics/drchrono-changes",
            enable_message_ordering=True,
            ack_deadline_seconds=600,
        )
    )
    file = tmp_path / "store.sqlite3"
    copy = Copy(EmbeddedFile(file) if file.exists() else firestore.Client(project=project))
    return Loader(copy, DuckDB(":memory:"), subscriber, subscription)


def rows(loader: Loader) -> dict[tuple[str, str], tuple[int, bool, Any]]:
    """What the warehouse has when no message is left."""
    while loader.work(seconds=2):
        pass
    assert isinstance(loader.warehouse, DuckDB)
    found = loader.warehouse.database.execute("SELECT * FROM records").fetchall()
    return {(kind, key): (version, deleted, json.loads(text)) for kind, key, version, deleted, text in found}


def held(loader: Loader) -> dict[tuple[str, str], tuple[int, bool, Any]]:
    return {
        (kind, record.id): (record.version, record.deleted, dict(record))
        for kind in KINDS
        for record in loader.copy.kind(kind).with_deleted()
    }


@pytest.mark.emulator
def test_the_rows_are_the_copys_after_edits_deletions_a_replay_and_killed_relays(
    practice: MortalClinic, loader: Loader
) -> None:
    backfill.start(practice.parts(), backfill.KIND_NAMES, date(2009, 1, 1))
    practice.finish()
    practice.finish()
    assert practice.differences() == []
    assert rows(loader) == held(loader)

    simulated = practice.simulator
    deaths: list[Callable[[], Any]] = [
        lambda: simulated.create("patients"),
        lambda: simulated.change("patients"),
        lambda: simulated.create("appointments"),
        lambda: simulated.change("appointments"),
    ]
    for number, edit in enumerate(deaths * 2):
        practice.broker.dies = ("before", "after")[number // len(deaths)]
        edit()
        practice.store_events()
        if number % 3 == 0:  # the same record once more, before the killed relay's lease ends
            simulated.change("patients")
            practice.store_events()
    practice.broker.dies = ""
    assert practice.broker.killed >= 6
    for kind in ("appointments", "appointments", "patients"):
        simulated.delete(kind)
    practice.store_events()
    reconcile.start(practice.parts(), backfill.KIND_NAMES)
    for _ in range(4):  # a record that is absent is looked at again, later
        practice.later(minutes=30)
        practice.finish()
    assert practice.differences() == []
    assert practice.waiting.lag().records == 0
    before = rows(loader)
    assert before == held(loader)
    assert {deleted for _, deleted, _ in before.values()} == {True, False}

    practice.waiting.ask_again([Target(kind, key) for kind, key in before])
    practice.broker.dies = "after"
    with suppress(Killed):
        practice.run(sync)
    practice.broker.dies = ""
    practice.restart()
    practice.finish()
    assert practice.waiting.lag().records == 0
    assert rows(loader) == before == held(loader)
