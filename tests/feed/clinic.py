"""The system with its feed on, beside a simulated DrChrono that sends it webhooks."""

from __future__ import annotations

import base64
import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Generic, Protocol, TypeVar

import flask
from werkzeug.serving import make_server

from functions import receive_webhook, store_record
from shared.feed.entries import Message
from shared.feed.filled import Fillings
from shared.feed.outbox import Outbox
from shared.feed.relay import Relay
from shared.jobs.run import Parts
from shared.jobs.sync import sync
from shared.records.absence import Absences
from shared.records.announcing import Announcing, Feed
from shared.records.store import Records
from shared.settings import WebhookSettings
from tests.clinic import Clinic

SECRET = "webhook-secret"


class Topic(Protocol):
    def publish(self, messages: Sequence[Message]) -> set[int]: ...


B = TypeVar("B", bound=Topic)


@dataclass
class TellingClinic(Clinic, Generic[B]):
    """broker: the topic of the feed. events: what Pub/Sub has for `store_record`."""

    broker: B = field(kw_only=True)
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
    def receiving(self) -> Iterator[None]:
        """Serve `receive_webhook` to the simulator."""
        app = flask.Flask("receiver")
        settings = WebhookSettings((SECRET,), "either", True)

        def publish(data: bytes, attributes: Mapping[str, str]) -> None:
            self.events.append(data)

        @app.route("/", methods=["GET", "POST"])
        def receive() -> flask.Response:
            return receive_webhook.handle(flask.request, settings=settings, publish=publish, now=self.now)

        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            self.simulator.configure_webhook(url=f"http://127.0.0.1:{server.server_port}/", secret=SECRET)
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def store_events(self) -> None:
        """Push each event that was received."""
        self.simulator.settle()
        for data in self.events:
            self.push({"message": {"data": base64.b64encode(data).decode(), "messageId": "1", "attributes": {}}})
        self.events.clear()

    def push(self, message: dict[str, Any]) -> None:
        store_record.handle(message, self.store())

    def finish(self) -> None:
        """Until the copy equals the truth and all of it is published."""
        self.settle()
        self.later(minutes=1)  # a relay that died keeps its lease for that long
        self.run(sync)
