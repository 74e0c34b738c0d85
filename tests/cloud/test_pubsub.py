"""The publisher: the real client, against a scripted Pub/Sub and against the emulator."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import grpc
import pytest
from google.auth.exceptions import DefaultCredentialsError
from google.pubsub_v1 import PublisherClient, SubscriberClient

from local.emulators import Emulators
from shared.cloud import pubsub
from shared.cloud.pubsub import Publisher, connect
from shared.errors import PublishFailed
from shared.settings import cloud_settings
from tests.cloud.broker import Broker

ATTRIBUTES = {"event": "PATIENT_MODIFY", "kind": "patients"}
SOON_SECONDS = 10.0  # what a test waits at most for what happens at once


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker() as running:
        yield running


@pytest.fixture
def publisher(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Publisher:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{broker.port}")
    return connect(cloud_settings({"GCP_PROJECT": "test-project"}))


@dataclass
class Calls:
    """Publishes from several threads, and keeps the outcome of each message."""

    publisher: Publisher
    outcomes: dict[bytes, PublishFailed | None] = field(default_factory=dict)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self, data: bytes) -> None:
        def work() -> None:
            try:
                self.publisher.publish(data, ATTRIBUTES)
            except PublishFailed as failed:
                self.outcomes[data] = failed
            else:
                self.outcomes[data] = None

        thread = threading.Thread(target=work)
        thread.start()
        self.threads.append(thread)

    def finish(self) -> dict[bytes, PublishFailed | None]:
        for thread in self.threads:
            thread.join(SOON_SECONDS)
            assert not thread.is_alive()
        return self.outcomes


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON_SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def waiting(publisher: Publisher) -> int:
    batch = publisher._open
    return len(batch.messages) if batch is not None else 0


def test_a_lone_message_is_published_at_once(broker: Broker, publisher: Publisher) -> None:
    publisher.publish(b"a", ATTRIBUTES)
    publisher.publish(b"b", ATTRIBUTES)
    assert broker.requests == [[b"a"], [b"b"]]


def test_messages_that_arrive_during_a_publish_form_the_next_batch(broker: Broker, publisher: Publisher) -> None:
    gate = threading.Event()

    def hold_the_first(messages: list[bytes]) -> None:
        if messages == [b"first"]:
            gate.wait(SOON_SECONDS)

    broker.answer = hold_the_first
    calls = Calls(publisher)
    calls.start(b"first")
    broker.arrived.acquire(timeout=SOON_SECONDS)
    later = [b"%d" % number for number in range(20)]
    for data in later:
        calls.start(data)
    wait_until(lambda: waiting(publisher) == 20)
    gate.set()
    assert set(calls.finish().values()) == {None}
    assert broker.requests[0] == [b"first"]
    assert sorted(broker.requests[1]) == sorted(later)
    assert len(broker.requests) == 2


def test_many_at_once_are_each_published_exactly_once(broker: Broker, publisher: Publisher) -> None:
    calls = Calls(publisher)
    for number in range(200):
        calls.start(b"%d" % number)
    assert set(calls.finish().values()) == {None}
    assert sorted(int(data) for request in broker.requests for data in request) == list(range(200))


@pytest.mark.parametrize(
    "status",
    [
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.INVALID_ARGUMENT,
    ],
)
def test_a_refusal_is_raised_at_once_without_the_brokers_text(
    broker: Broker, publisher: Publisher, status: grpc.StatusCode
) -> None:
    broker.answer = lambda messages: status
    with pytest.raises(PublishFailed, match=r"^Pub/Sub: [A-Za-z]+$"):
        publisher.publish(b"a", ATTRIBUTES)
    assert len(broker.requests) == 1


@pytest.mark.parametrize("status", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.ABORTED])
def test_a_temporary_failure_is_tried_once_more(broker: Broker, publisher: Publisher, status: grpc.StatusCode) -> None:
    broker.answer = lambda messages: status if len(broker.requests) == 1 else None
    publisher.publish(b"a", ATTRIBUTES)
    assert broker.requests == [[b"a"], [b"a"]]
    broker.answer = lambda messages: status
    with pytest.raises(PublishFailed):
        publisher.publish(b"b", ATTRIBUTES)
    assert broker.requests[2:] == [[b"b"], [b"b"]]


def test_a_failed_batch_fails_all_its_messages_and_not_the_next_batch(broker: Broker, publisher: Publisher) -> None:
    gate = threading.Event()

    def fail_the_second(messages: list[bytes]) -> grpc.StatusCode | None:
        if messages == [b"first"]:
            gate.wait(SOON_SECONDS)
        return grpc.StatusCode.PERMISSION_DENIED if b"x" in messages else None

    broker.answer = fail_the_second
    calls = Calls(publisher)
    calls.start(b"first")
    broker.arrived.acquire(timeout=SOON_SECONDS)
    for data in (b"x", b"y", b"z"):
        calls.start(data)
    wait_until(lambda: waiting(publisher) == 3)
    gate.set()
    outcomes = calls.finish()
    assert outcomes.pop(b"first") is None
    assert {str(failed) for failed in outcomes.values()} == {"Pub/Sub: PermissionDenied"}
    publisher.publish(b"y", ATTRIBUTES)


def test_one_bad_message_fails_alone(broker: Broker, publisher: Publisher) -> None:
    gate = threading.Event()

    def refuse_bad(messages: list[bytes]) -> grpc.StatusCode | None:
        if messages == [b"first"]:
            gate.wait(SOON_SECONDS)
        return grpc.StatusCode.INVALID_ARGUMENT if b"bad" in messages else None

    broker.answer = refuse_bad
    calls = Calls(publisher)
    calls.start(b"first")
    broker.arrived.acquire(timeout=SOON_SECONDS)
    for data in (b"good", b"bad", b"fine"):
        calls.start(data)
    wait_until(lambda: waiting(publisher) == 3)
    gate.set()
    outcomes = calls.finish()
    assert isinstance(outcomes.pop(b"bad"), PublishFailed)
    assert outcomes == {b"first": None, b"good": None, b"fine": None}


def test_a_silent_broker_blocks_no_caller_beyond_the_limit(
    broker: Broker, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pubsub, "PUBLISH_SECONDS", 0.5)
    gate = threading.Event()

    def say_nothing(messages: list[bytes]) -> None:
        gate.wait(SOON_SECONDS)

    broker.answer = say_nothing
    calls = Calls(publisher)
    began = time.monotonic()
    for number in range(32):
        calls.start(b"%d" % number)
    outcomes = calls.finish()
    assert time.monotonic() - began < 2.5  # one bound after the other would be seconds more
    assert len(outcomes) == 32
    assert all(isinstance(outcome, PublishFailed) for outcome in outcomes.values())
    gate.set()
    monkeypatch.setattr(pubsub, "PUBLISH_SECONDS", SOON_SECONDS)
    publisher.publish(b"recovered", ATTRIBUTES)


def test_publishing_fails_at_once_without_a_broker_and_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    with Broker() as broker:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", f"127.0.0.1:{broker.port}")
        publisher = connect(cloud_settings({"GCP_PROJECT": "test-project"}))
        publisher.publish(b"before", ATTRIBUTES)
    with pytest.raises(PublishFailed, match="ServiceUnavailable"):
        publisher.publish(b"during", ATTRIBUTES)

    def published() -> bool:
        try:
            publisher.publish(b"after", ATTRIBUTES)
        except PublishFailed:  # the channel tries to connect again after a second
            return False
        return True

    with Broker(port=broker.port):
        wait_until(published)


def test_a_request_stays_under_pubsubs_limit_of_bytes(broker: Broker, publisher: Publisher) -> None:
    gate = threading.Event()

    def hold_the_first(messages: list[bytes]) -> None:
        if messages == [b"first"]:
            gate.wait(SOON_SECONDS)

    broker.answer = hold_the_first
    calls = Calls(publisher)
    calls.start(b"first")
    broker.arrived.acquire(timeout=SOON_SECONDS)
    for letter in (b"a", b"b", b"c"):
        calls.start(letter * 4_000_000)
        wait_until(lambda: waiting(publisher) > 0)
    gate.set()
    outcomes = calls.finish()
    assert len(outcomes) == 4
    assert max(sum(map(len, request)) for request in broker.requests) <= 8_000_000


def test_missing_credentials_fail_the_publish(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise DefaultCredentialsError("no credentials")  # type: ignore[no-untyped-call]

    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
    monkeypatch.setattr("google.auth.default", missing)
    with pytest.raises(PublishFailed, match="DefaultCredentialsError"):
        connect(cloud_settings({"GCP_PROJECT": "test-project"}))


@pytest.mark.emulator
def test_the_emulator_delivers_data_and_attributes_as_published(emulators: Emulators, project: str) -> None:
    topic, subscription = f"projects/{project}/topics/drchrono-events", f"projects/{project}/subscriptions/events"
    PublisherClient().create_topic(name=topic)
    subscriber = SubscriberClient()
    subscriber.create_subscription(name=subscription, topic=topic)
    publisher = connect(cloud_settings({"GCP_PROJECT": project}))
    calls = Calls(publisher)
    for number in range(50):
        calls.start(b"%d" % number)
    assert set(calls.finish().values()) == {None}
    received: dict[int, dict[str, str]] = {}
    deadline = time.monotonic() + SOON_SECONDS
    while len(received) < 50 and time.monotonic() < deadline:
        for message in subscriber.pull(subscription=subscription, max_messages=100).received_messages:
            received[int(message.message.data)] = dict(message.message.attributes)
    assert received == dict.fromkeys(range(50), ATTRIBUTES)


@pytest.mark.emulator
def test_a_missing_topic_fails_the_publish(emulators: Emulators, project: str) -> None:
    with pytest.raises(PublishFailed, match="NotFound"):
        connect(cloud_settings({"GCP_PROJECT": project})).publish(b"a", ATTRIBUTES)
