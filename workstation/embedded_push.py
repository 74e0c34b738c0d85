"""Push delivery of the embedded queue: messages are sent to the subscriber in the form in which Pub/Sub sends them."""

from __future__ import annotations

import base64
import http.client
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timezone
from typing import Any, Self
from urllib.parse import urlsplit

from workstation.embedded_queue import ACKNOWLEDGE_SECONDS, EmbeddedQueue, Message

PUSHERS = 8
LOOK_SECONDS = 0.02  # a look takes some microseconds

SUBSCRIPTION = "projects/local/subscriptions/drchrono-events-store-record"


def envelope(message: Message) -> bytes:
    """Return the body of a push request (cloud.google.com/pubsub/docs/push)."""
    published = datetime.fromtimestamp(message.published_at, timezone.utc).isoformat().replace("+00:00", "Z")
    body: dict[str, Any] = {
        "message": {
            "attributes": message.attributes,
            "data": base64.b64encode(message.data).decode(),
            "messageId": str(message.id),
            "message_id": str(message.id),
            "publishTime": published,
            "publish_time": published,
        },
        "subscription": SUBSCRIPTION,
        "deliveryAttempt": message.attempt,
    }
    return json.dumps(body).encode()


class Pusher:
    """Within `with Pusher(queue, url):`, threads push the due messages to `url`."""

    def __init__(self, queue: EmbeddedQueue, url: str) -> None:
        self._queue = queue
        self._url = url
        self._free = threading.Semaphore(PUSHERS)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pusher", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        with ThreadPoolExecutor(PUSHERS, thread_name_prefix="pusher") as pool:
            while not self._ended.wait(LOOK_SECONDS):
                # Take a message only when a thread is free: its time to be acknowledged begins now.
                while self._free.acquire(blocking=False):
                    taken = self._queue.take(1)
                    if not taken:
                        self._free.release()
                        break
                    pool.submit(self._push, taken[0])

    def _push(self, message: Message) -> None:
        try:
            if 200 <= post(self._url, envelope(message)) < 300:
                self._queue.acknowledge(message)
            elif not self._ended.is_set():
                self._queue.refuse(message)
        finally:
            self._free.release()


def post(url: str, body: bytes) -> int:
    """Return the HTTP status, or 0 if no answer came."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ACKNOWLEDGE_SECONDS)
    with closing(connection):
        try:
            connection.request("POST", parts.path or "/", body, {"Content-Type": "application/json"})
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0
