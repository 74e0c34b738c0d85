"""`dead-letters` in both forms: listed by id, replayed, discarded, and never more of their content."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

import pytest

from shared.webhooks.events import Change, encode
from tests.ops.conftest import Practice
from tests.ops.terminal import plain
from workstation.embedded_queue import MOST_ATTEMPTS, EmbeddedQueue, Message
from workstation.wiring import queue

CANARY = "canary-of-a-chart"
READABLE = encode(
    Change("PATIENT_MODIFY", "patients", "4711", "delivery-1", datetime(2026, 3, 10, 12, tzinfo=timezone.utc))
)
UNREADABLE = json.dumps({"first_name": CANARY}).encode()


@dataclass
class Bench:
    """A practice with two dead letters, and the messages that its topic gets meanwhile."""

    practice: Practice

    def __post_init__(self) -> None: ...

    def put(self) -> None:
        self.dead(READABLE, {"event": "PATIENT_MODIFY", "kind": "patients"})
        self.dead(UNREADABLE, {"event": CANARY, "kind": "patients", "x": CANARY})

    def dead(self, data: bytes, attributes: dict[str, str]) -> None:
        raise NotImplementedError

    def published(self) -> list[bytes]:
        raise NotImplementedError


class EmbeddedBench(Bench):
    @property
    def queue(self) -> EmbeddedQueue:
        return queue(self.practice.folder)

    def dead(self, data: bytes, attributes: dict[str, str]) -> None:
        self.queue.publish(data, attributes)
        taken = self.queue.take(1)[0]
        self.queue.refuse(Message(taken.id, data, attributes, taken.published_at, MOST_ATTEMPTS))

    def published(self) -> list[bytes]:
        return [message.data for message in self.queue.take(10)]


class PubSubBench(Bench):
    def __post_init__(self) -> None:
        from google.pubsub_v1 import PublisherClient, SubscriberClient
        from google.pubsub_v1.types import Subscription

        project = self.practice.environment["GCP_PROJECT"]
        self.publisher, self.subscriber = PublisherClient(), SubscriberClient()
        self.dead_topic = f"projects/{project}/topics/drchrono-events-dead"
        self.heard = f"projects/{project}/subscriptions/test"
        topic = f"projects/{project}/topics/drchrono-events"
        self.subscriber.create_subscription(request=Subscription(name=self.heard, topic=topic))

    def dead(self, data: bytes, attributes: dict[str, str]) -> None:
        from google.pubsub_v1 import PubsubMessage

        # As Pub/Sub itself forwards a dead letter.
        attributes = {**attributes, "CloudPubSubDeadLetterSourceDeliveryCount": "20"}
        self.publisher.publish(topic=self.dead_topic, messages=[PubsubMessage(data=data, attributes=attributes)])

    def published(self) -> list[bytes]:
        from google.api_core.exceptions import DeadlineExceeded

        try:
            answer = self.subscriber.pull(subscription=self.heard, max_messages=10, timeout=1, retry=None)
        except DeadlineExceeded:
            return []
        for each in answer.received_messages:
            assert not [name for name in each.message.attributes if name.startswith("CloudPubSub")]
        return [each.message.data for each in answer.received_messages]


@pytest.fixture(params=["embedded", pytest.param("pubsub", marks=pytest.mark.emulator)])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param == "embedded":
        yield EmbeddedBench(request.getfixturevalue("practice"))
    else:
        yield PubSubBench(request.getfixturevalue("emulated"))


def listed(bench: Bench) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(bench.practice.ops("dead-letters", "list", "--json").output)
    return found


def test_each_message_is_shown_with_its_ids_or_its_problem_and_nothing_else(bench: Bench) -> None:
    bench.put()
    shown = bench.practice.ops("dead-letters")
    assert "PATIENT_MODIFY patients/4711 readable" in plain(shown.output)
    assert "patients field_missing" in plain(shown.output)
    assert CANARY not in shown.output
    found = listed(bench)
    assert [(each["id"], each["delivery"], each["problem"]) for each in found] == [
        ("4711", "delivery-1", ""),
        ("", "", "field_missing"),
    ]
    assert CANARY not in json.dumps(found)
    assert "at least 2 messages: python -m ops dead-letters" in plain(bench.practice.ops("status").output)


def test_one_message_is_replayed_unchanged_and_the_other_discarded(bench: Bench) -> None:
    bench.put()
    first, second = listed(bench)
    shown = bench.practice.ops("dead-letters", "replay", first["number"])
    assert "1 message sent again." in shown.output
    assert bench.published() == [READABLE]
    assert [each["number"] for each in listed(bench)] == [second["number"]]
    shown = bench.practice.ops("dead-letters", "discard", "--all", typed="n\n")
    assert "Nothing was done." in shown.output
    shown = bench.practice.ops("dead-letters", "discard", "--all", typed="y\n")
    assert "1 message discarded." in shown.output
    assert "There are no dead letters." in bench.practice.ops("dead-letters").output


def test_replay_and_discard_need_the_numbers_of_existing_messages(practice: Practice) -> None:
    shown = practice.ops("dead-letters", "replay")
    assert shown.exit_code == 2
    assert "give numbers, or --all" in shown.stderr
    assert practice.ops("dead-letters", "discard", "1", "--all").exit_code == 2
    shown = practice.ops("dead-letters", "discard", "999", "--yes")
    assert shown.exit_code == 2
    assert "there is no 999" in shown.stderr


def test_a_missing_queue_is_reported(practice: Practice) -> None:
    (practice.folder / "queue.sqlite3").unlink()
    shown = practice.ops("dead-letters")
    assert shown.exit_code == 1
    assert "is `make run` still running?" in shown.stderr
