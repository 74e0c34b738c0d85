"""The feed's topic on the Pub/Sub emulator, and on a broker that refuses."""

from __future__ import annotations

from typing import Any

import pytest
from google.pubsub_v1 import PublisherClient, SubscriberClient

from local.emulators import Emulators
from shared.cloud.feed import FeedTopic
from shared.feed.entries import Message
from shared.settings import cloud_settings


@pytest.mark.emulator
def test_messages_of_a_key_arrive_in_order(emulators: Emulators, project: str) -> None:
    path, name = f"projects/{project}/topics/changes", f"projects/{project}/subscriptions/all"
    PublisherClient().create_topic(name=path)
    subscriber: Any = SubscriberClient()
    subscriber.create_subscription(request={"name": name, "topic": path, "enable_message_ordering": True})
    topic = FeedTopic(cloud_settings({"GCP_PROJECT": project}), "changes")
    for version in range(5):
        messages = [Message(b"%d" % version, {"kind": "patients"}, f"patients/{key}") for key in range(10)]
        assert topic.publish(messages) == set(range(10))

    found: dict[str, list[bytes]] = {}
    while sum(map(len, found.values())) < 50:
        answer = subscriber.pull(subscription=name, max_messages=100)
        for one in answer.received_messages:
            found.setdefault(one.message.ordering_key, []).append(one.message.data)
        subscriber.acknowledge(subscription=name, ack_ids=[one.ack_id for one in answer.received_messages])

    assert len(found) == 10
    assert set(map(tuple, found.values())) == {(b"0", b"1", b"2", b"3", b"4")}


@pytest.mark.emulator
def test_a_topic_that_is_not_there_answers_for_no_message(emulators: Emulators, project: str) -> None:
    topic = FeedTopic(cloud_settings({"GCP_PROJECT": project}), "missing")

    assert topic.publish([Message(b"1", {}, "patients/1")]) == set()
