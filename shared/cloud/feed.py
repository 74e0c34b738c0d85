"""The topic on which other programs are told what changed, in order for each key."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import grpc
from google.auth.exceptions import GoogleAuthError
from google.pubsub_v1 import PublisherClient, PublishRequest, PubsubMessage

from shared.feed.entries import Message
from shared.settings import CloudSettings

# The bound of all calls together: as long as a change may wait for a broker that does not answer.
PUBLISH_SECONDS = 3.0
AGAIN_SECONDS = 0.5  # with less left, a call that failed is not repeated

# A server that moves, a connection that broke: gone with the next attempt, or not soon.
_PASSING = (grpc.StatusCode.ABORTED, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE)

_Message = PubsubMessage.pb()
_Request = PublishRequest.pb()


class FeedTopic:
    """Built at the first message: a feed without changes needs no connection."""

    def __init__(self, settings: CloudSettings, topic: str) -> None:
        self._topic = f"projects/{settings.project}/topics/{topic}"
        self._client: list[PublisherClient] = []

    def publish(self, messages: Sequence[Message]) -> set[int]:
        """Return the indexes of those that the broker has. The others may have arrived, if only the answer was late.

        No two of `messages` may have one key. All of a request must have the same one
        (cloud.google.com/pubsub/docs/reference/rpc/google.pubsub.v1#pubsubmessage), so that each has a request of its
        own; they are under way together. The library's own publisher would hold a key back after an error, until it is
        told to resume: here the lease of the record does that.
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
        """The indexes of those that were answered, and of those that are worth another call."""
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
