"""The topics and the push subscription of terraform/pubsub.tf, on the Pub/Sub emulator."""

from __future__ import annotations

from google.api_core.exceptions import AlreadyExists
from google.protobuf.duration_pb2 import Duration  # type: ignore[import-untyped]  # the package ships no types
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.types import DeadLetterPolicy, PushConfig, RetryPolicy, Subscription

EVENTS = "drchrono-events"
DEAD_LETTERS = "drchrono-events-dead"
TO_STORE_RECORD = "drchrono-events-store-record"
HOLD = "drchrono-events-dead-hold"
CHANGES = "drchrono-changes"
CHANGES_SHOWN = "drchrono-changes-shown"


def subscribe(project: str, topic: str, push_url: str) -> None:
    """Create the topics and subscriptions that do not exist. The clients read PUBSUB_EMULATOR_HOST by themselves."""
    publisher, subscriber = PublisherClient(), SubscriberClient()
    names = {name: f"projects/{project}/topics/{name}" for name in (topic, DEAD_LETTERS, CHANGES)}
    for name in names.values():
        try:
            publisher.create_topic(name=name)
        except AlreadyExists:
            continue
    subscriptions = (
        Subscription(
            name=f"projects/{project}/subscriptions/{TO_STORE_RECORD}",
            topic=names[topic],
            push_config=PushConfig(push_endpoint=push_url),
            ack_deadline_seconds=180,
            retry_policy=RetryPolicy(minimum_backoff=Duration(seconds=10), maximum_backoff=Duration(seconds=600)),
            dead_letter_policy=DeadLetterPolicy(dead_letter_topic=names[DEAD_LETTERS], max_delivery_attempts=20),
        ),
        Subscription(name=f"projects/{project}/subscriptions/{HOLD}", topic=names[DEAD_LETTERS]),
        Subscription(
            name=f"projects/{project}/subscriptions/{CHANGES_SHOWN}",
            topic=names[CHANGES],
            enable_message_ordering=True,
            ack_deadline_seconds=60,
        ),
    )
    for subscription in subscriptions:
        try:
            subscriber.create_subscription(request=subscription)
        except AlreadyExists:
            continue
