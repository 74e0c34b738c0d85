"""Dead letters in Pub/Sub: the subscription that holds them (terraform/pubsub.tf)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ops.dead_letters_messages import CALL_SECONDS, MOST, DeadLetter, QueueUnavailable

if TYPE_CHECKING:
    from google.pubsub_v1 import SubscriberClient

SUBSCRIPTION = "drchrono-events-dead-hold"

# A pull waits for messages. The first also sets up the connection; the others bring the remaining messages.
PULL_SECONDS = 1.5
NEXT_PULL_SECONDS = 0.5

# Prefix of the attributes that Pub/Sub adds when it forwards a message to the dead-letter topic.
FORWARDING_ATTRIBUTES = "CloudPubSubDeadLetter"


class PubSubDeadLetters:
    """Google's clients use PUBSUB_EMULATOR_HOST by themselves."""

    def __init__(self, project: str, topic: str, subscription: str = SUBSCRIPTION) -> None:
        self._topic = f"projects/{project}/topics/{topic}"
        self._subscription = f"projects/{project}/subscriptions/{subscription}"

    def look(self, most: int) -> list[DeadLetter]:
        with _translated():
            subscriber = _subscriber()
            messages = self._pull(subscriber, most)
            # Make them available again now, not after the subscription's deadline.
            self._release(subscriber, messages)
        return messages

    def replay(self, messages: Sequence[DeadLetter]) -> None:
        from google.pubsub_v1 import PublisherClient, PubsubMessage

        with _translated():
            publisher, subscriber = PublisherClient(), _subscriber()
            for message in self._held(subscriber, messages):
                attributes = {
                    name: value
                    for name, value in message.attributes.items()
                    if not name.startswith(FORWARDING_ATTRIBUTES)
                }
                copy = PubsubMessage(data=message.data, attributes=attributes)
                publisher.publish(topic=self._topic, messages=[copy], retry=None, timeout=CALL_SECONDS)
                self._acknowledge(subscriber, [message])

    def discard(self, messages: Sequence[DeadLetter]) -> None:
        with _translated():
            subscriber = _subscriber()
            self._acknowledge(subscriber, self._held(subscriber, messages))

    def _held(self, subscriber: SubscriberClient, messages: Sequence[DeadLetter]) -> list[DeadLetter]:
        """Return those of `messages` that are still there, with valid handles."""
        wanted = {message.number for message in messages}
        pulled = self._pull(subscriber, MOST)
        self._release(subscriber, [message for message in pulled if message.number not in wanted])
        return [message for message in pulled if message.number in wanted]

    def _pull(self, subscriber: SubscriberClient, most: int) -> list[DeadLetter]:
        """Pull until nothing new comes, because one pull may return only some of the messages. Oldest first."""
        from google.api_core.exceptions import DeadlineExceeded

        found: dict[str, DeadLetter] = {}
        while len(found) < most:
            seconds = NEXT_PULL_SECONDS if found else PULL_SECONDS
            try:
                answer = subscriber.pull(
                    subscription=self._subscription, max_messages=most - len(found), timeout=seconds, retry=None
                )
            except DeadlineExceeded:
                break  # no (more) messages
            new = {
                each.message.message_id: DeadLetter(
                    number=each.message.message_id,
                    published_at=each.message.publish_time,
                    data=each.message.data,
                    attributes=dict(each.message.attributes),
                    handle=each.ack_id,
                )
                for each in answer.received_messages
            }
            if not new.keys() - found.keys():
                break
            found |= new
        return sorted(found.values(), key=lambda message: message.published_at)

    def _release(self, subscriber: SubscriberClient, messages: Sequence[DeadLetter]) -> None:
        if messages:
            handles = [message.handle for message in messages]
            subscriber.modify_ack_deadline(
                subscription=self._subscription,
                ack_ids=handles,
                ack_deadline_seconds=0,
                retry=None,
                timeout=CALL_SECONDS,
            )

    def _acknowledge(self, subscriber: SubscriberClient, messages: Sequence[DeadLetter]) -> None:
        if messages:
            handles = [message.handle for message in messages]
            subscriber.acknowledge(subscription=self._subscription, ack_ids=handles, retry=None, timeout=CALL_SECONDS)


def _subscriber() -> SubscriberClient:
    from google.pubsub_v1 import SubscriberClient

    return SubscriberClient()


@contextmanager
def _translated() -> Iterator[None]:
    """Raise Google's errors as QueueUnavailable, without their texts."""
    from google.api_core.exceptions import GoogleAPIError, NotFound, PermissionDenied
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except PermissionDenied:
        raise QueueUnavailable(
            f"Pub/Sub denied access: ask for roles/pubsub.subscriber on {SUBSCRIPTION}, "
            "and for `replay` also for roles/pubsub.publisher on the topic"
        ) from None
    except NotFound:
        raise QueueUnavailable(f"there is no subscription {SUBSCRIPTION}: create it (terraform apply)") from None
    except (GoogleAPIError, GoogleAuthError) as error:
        raise QueueUnavailable(f"Pub/Sub does not answer ({type(error).__name__}): try again") from None
