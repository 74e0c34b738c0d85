"""From an edit at the practice to a row of the warehouse: simulator, receiver, store, feed, Pub/Sub and the loader.

The practice's time is virtual. Stores, broker and HTTP are real; a relay is killed where it talks to the broker.
"""

from __future__ import annotations

import base64
import itertools
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import flask
import pytest
from google.cloud import firestore
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.types import Subscription
from werkzeug.serving import make_server

from drchrono_reader import Copy, EmbeddedFile
from examples.bigquery.loader import DuckDB, Loader
from functions import receive_webhook, store_record
from local.emulators import Emulators
from shared.cloud.feed import FeedTopic
from shared.drchrono.kinds import KINDS
from shared.feed.entries import Message
from shared.feed.filled import Fillings
from shared.feed.outbox import Outbox, Target
from shared.feed.relay import Relay
from shared.jobs import backfill, reconcile
from shared.jobs.run import Parts
from shared.jobs.sync import sync
from shared.records.absence import Absences
from shared.records.announcing import Announcing, Feed
from shared.records.store import Records
from shared.settings import WebhookSettings, cloud_settings
from tests.clinic import Clinic, simulator
from tests.mortal import Killed

SECRET = "webhook-secret"


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


@dataclass
class TellingClinic(Clinic):
    """The system with its feed, and the events that Pub/Sub has for it."""

    broker: Broker = field(kw_only=True)
    events: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._fences = itertools.count()
        self.waiting = Outbox(self.documents, self.now)
        self.restart()

    def restart(self) -> None:
        """As a new instance has them."""
        relay = Relay(self.waiting, self.broker.publish, self.now, lambda: f"fence-{next(self._fences)}")
        self.feed = Feed(self.waiting, relay, Fillings(self.documents))
        self.records = Records(self.documents, self.now, Announcing(self.documents, self.feed))
        self.absences = Absences(self.documents, self.records, self.queue, self.now)

    def parts(self) -> Parts:
        return replace(super().parts(), feed=self.feed)

    @contextmanager
    def receiving(self) -> Iterator[str]:
        """Serve `receive_webhook`, and yield its URL."""
        app = flask.Flask("receiver")
        settings = WebhookSettings((SECRET,), "either", True)

        def publish(data: bytes, attributes: Mapping[str, str]) -> None:
            self.events.append(data)

        @app.route("/", methods=["GET", "POST"])
        def receive() -> flask.Response:
            return receive_webhook.handle(flask.request, settings=settings, publish=publish, now=self.now)

        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def store_events(self) -> None:
        """Push each event. Where the function dies, the event comes again, to an instance that lives."""
        self.simulator.settle()
        for data in self.events:
            push = {"message": {"data": base64.b64encode(data).decode(), "messageId": "1", "attributes": {}}}
            try:
                store_record.handle(push, self.store())
            except Killed:
                self.broker.dies = ""
                self.restart()
                store_record.handle(push, self.store())
        self.events.clear()

    def finish(self) -> None:
        """Until the copy equals the truth and all of it is published."""
        self.settle()
        self.later(minutes=1)  # whoever died while it published is given that long
        self.run(sync)


@pytest.fixture(params=[("guide", "embedded"), ("live", "firestore_documents")], ids=["guide", "live"])
def practice(request: pytest.FixtureRequest, emulators: Emulators, project: str) -> Iterator[TellingClinic]:
    """One form on each store."""
    form, store = request.param
    PublisherClient().create_topic(name=f"projects/{project}/topics/drchrono-changes")
    broker = Broker(FeedTopic(cloud_settings({"GCP_PROJECT": project}), "drchrono-changes"))
    with simulator(form=form, patients=4, appointments=6, notes=2, children=1, webhook_secret=SECRET) as running:
        clinic = TellingClinic(running, request.getfixturevalue(store), broker=broker)
        with clinic.receiving() as url:
            running.configure_webhook(url=url)
            yield clinic


@pytest.fixture
def loader(practice: TellingClinic, project: str, tmp_path: Path) -> Loader:
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
    practice: TellingClinic, loader: Loader
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
