"""The Pub/Sub topic that carries changes from `receive_webhook` to `store_record`."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

from google.api_core.exceptions import Aborted, InternalServerError, InvalidArgument, ServiceUnavailable
from google.auth.exceptions import GoogleAuthError
from google.pubsub_v1 import PublisherClient, PublishRequest, PubsubMessage

from shared.errors import PublishFailed
from shared.settings import CloudSettings

# The longest time that a sender waits: the whole call, including the wait for the publish before it.
PUBLISH_SECONDS = 3.0
# Limits of one request: 1,000 messages and 10 MB (cloud.google.com/pubsub/quotas), less the overhead.
MOST_MESSAGES = 1000
MOST_BYTES = 9_000_000

# A restarted server or a broken connection: the next attempt succeeds, or none does soon.
_PASSING = (Aborted, InternalServerError, ServiceUnavailable)

# The bare protobuf types: building a request with the library's wrappers takes half as long as sending it.
_Message = PubsubMessage.pb()
_Request = PublishRequest.pb()


def connect(settings: CloudSettings) -> Publisher:
    """Return the publisher. The client uses PUBSUB_EMULATOR_HOST if that is set. Raises PublishFailed without
    credentials.
    """
    try:
        client = PublisherClient()
    except GoogleAuthError as error:
        raise PublishFailed(f"Pub/Sub: {type(error).__name__}") from None
    return Publisher(client, f"projects/{settings.project}/topics/{settings.topic}")


class _Batch:
    """Messages of one publish. After `done`, a message whose index is not in `published` has failed."""

    def __init__(self) -> None:
        self.messages: list[PubsubMessage] = []
        self.bytes = 0
        self.done = threading.Event()
        self.published: set[int] = set()
        self.failure = "no answer in time"

    def has_room_for(self, message: PubsubMessage) -> bool:
        return len(self.messages) < MOST_MESSAGES and self.bytes + message.ByteSize() <= MOST_BYTES

    def add(self, message: PubsubMessage) -> int:
        """Return the index of the message in the batch."""
        self.messages.append(message)
        self.bytes += message.ByteSize()
        return len(self.messages) - 1


class Publisher:
    """Publishes at once when idle. Messages that arrive during a publish form the next batch.

    The library's default publisher waits 10 ms to fill a batch, which is useless for a lone webhook; one call per
    message is expensive when many arrive at once. Here, a thread that finds no open batch leads a new one: it waits for
    the publish before, closes its batch and sends it. Threads that joined the batch wait for the result. No background
    thread is started, so no work is left between requests, when the platform withdraws the CPU.
    """

    def __init__(self, client: PublisherClient, topic: str) -> None:
        self._client = client
        self._topic = topic
        self._joining = threading.Lock()  # guards the open batch
        self._open: _Batch | None = None
        self._sending = threading.Lock()  # held during a publish

    def publish(self, data: bytes, attributes: Mapping[str, str]) -> None:
        """Return when the broker has the message. Raises PublishFailed after PUBLISH_SECONDS at the latest.

        Even then the message may have arrived, if only the answer was late. A change that is announced twice does no
        harm.
        """
        message = _Message(data=data, attributes=dict(attributes))
        deadline = time.monotonic() + PUBLISH_SECONDS
        with self._joining:
            batch = self._open
            leads = batch is None or not batch.has_room_for(message)
            if batch is None or leads:
                batch = self._open = _Batch()
            index = batch.add(message)
        if leads:
            self._lead(batch, deadline)
        else:
            batch.done.wait(PUBLISH_SECONDS)
        if index not in batch.published:
            raise PublishFailed(f"Pub/Sub: {batch.failure}")

    def _lead(self, batch: _Batch, deadline: float) -> None:
        free = self._sending.acquire(timeout=PUBLISH_SECONDS)
        try:
            with self._joining:
                if self._open is batch:
                    self._open = None
            if free:
                self._send(batch, range(len(batch.messages)), deadline)
        finally:
            if free:
                self._sending.release()
            batch.done.set()

    def _send(self, batch: _Batch, indexes: Sequence[int], deadline: float) -> None:
        request = _Request(topic=self._topic, messages=[batch.messages[index] for index in indexes])
        try:
            try:
                self._call(request, deadline)
            except _PASSING:
                self._call(request, deadline)
            batch.published.update(indexes)
        except Exception as error:  # any error must reach the waiting threads; its text may contain the message
            batch.failure = type(error).__name__
            # Pub/Sub refuses the whole batch if one message is invalid. Send each alone then.
            if isinstance(error, InvalidArgument) and len(indexes) > 1:
                for index in indexes:
                    self._send(batch, [index], deadline)

    def _call(self, request: PublishRequest, deadline: float) -> None:
        # No retry by the library: its last attempt may take the whole timeout once more.
        self._client.publish(PublishRequest.wrap(request), retry=None, timeout=deadline - time.monotonic())
