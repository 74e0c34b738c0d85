"""The topic of the change feed, in order for each key."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import grpc
from google.auth.exceptions import GoogleAuthError
from google.pubsub_v1 import PublisherClient, PublishRequest, PubsubMessage

from shared.feed.entries import Message
from shared.settings import CloudSettings

# The bound of all calls together: how long a change may wait for a broker that does not answer.
PUBLISH_SECONDS = 3.0
AGAIN_SECONDS = 0.5  # with less left, a call that failed is not repeated

# A moved server or a broken connection: the next attempt succeeds, or none does soon.
_PASSING = (grpc.StatusCode.ABORTED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE)

_Message = PubsubMessage.pb()
_Request = PublishRequest.pb()


class FeedTopic:
    """Built at the first message: a feed without changes needs no connection."""

    def __init__(self, settings: CloudSettings, topic: str) -> None:
        self._topic = f"projects/{settings.project}/topics/{topic}"
        self._client: list[PublisherClient] = []

    def publish(self, messages: Sequence[Message]) -> set[int]:
        """Return the indexes of those that the broker acknowledged. Others may have arrived as well.

        No two of `messages` may have the same key. All messages of a request must have one key
        (cloud.google.com/pubsub/docs/reference/rpc/google.pubsub.v1#pubsubmessage), so each message has its own
        request, and the requests run concurrently. The library's publisher would block a key after an error until it is
        resumed; here the lease of the record orders the messages.
        """
        deadline = time.monotonic() + PUBLISH_SECONDS
        try:
            client = self._connected()
            answered, again = self._send(client, dict(enumerate(messages)), deadline)
            if again and deadline - time.monotonic() > AGAIN_SECONDS:
                answered |= self._send(client, {index: messages[index] for index in again}, deadline)[0]
        except GoogleAuthError:
            return set()
        return answered

    def _send(
        self, client: PublisherClient, messages: dict[int, Message], deadline: float
    ) -> tuple[set[int], Iterable[int]]:
        """Return the indexes of the acknowledged messages, and of those to try again."""
        calls = {index: self._call(client, message, deadline) for index, message in messages.items()}
        answered, again = set(), []
        for index, call in calls.items():
            try:
                call.result()
                answered.add(index)
            except grpc.RpcError:
                if call.code() in _PASSING:
                    again.append(index)
        return answered, again

    def _call(self, client: PublisherClient, message: Message, deadline: float) -> Any:
        request = _Request(
            topic=self._topic,
            messages=[
                _Message(data=message.data, attributes=dict(message.attributes), ordering_key=message.ordering_key)
            ],
        )
        return client.transport.publish.future(  # type: ignore[attr-defined]
            PublishRequest.wrap(request),
            timeout=max(deadline - time.monotonic(), 0.0),
            metadata=[("x-goog-request-params", f"topic={self._topic}")],
        )

    def _connected(self) -> PublisherClient:
        if not self._client:
            self._client.append(PublisherClient())
        return self._client[0]
