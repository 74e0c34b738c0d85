"""What the change feed says, as lines beside the webhooks: the local run is a subscriber of its own."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable

from local.arrivals import row
from workstation.embedded_queue import EmbeddedQueue

MOST_MESSAGES = 100
PULL_SECONDS = 5.0
NAMES_COLUMNS = 20  # what is left of 80 beside time, change and record

# The messages that came since the last call.
Take = Callable[[], list[bytes]]


def told(data: bytes) -> str:
    """One line: kind, id, version, operation and the names of fields."""
    change = json.loads(data)
    if change["operation"] == "filled":
        return row("feed: filled", change["kind"], f"{change['count']} records")
    words = "told again" if change["replay"] else ", ".join(change["fields"])
    if len(words) > NAMES_COLUMNS:
        words = f"{words[: NAMES_COLUMNS - 1]}…"
    return row(f"feed: {change['operation']} v{change['version']}", f"{change['kind']}/{change['id']}", words).rstrip()


def from_queue(changes: EmbeddedQueue) -> Take:
    """Of the embedded form: what whoever stores a change has put into the queue."""

    def take() -> list[bytes]:
        taken = changes.take(MOST_MESSAGES)
        for message in taken:
            changes.acknowledge(message)
        return [message.data for message in taken]

    return take


def from_pubsub(project: str) -> Take:
    """Of the emulator: a thread pulls for as long as this process lives. Waits for nobody."""
    came: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_pull, args=(project, came.put), name="feed", daemon=True).start()

    def take() -> list[bytes]:
        return [came.get() for _ in range(came.qsize())]

    return take


def _pull(project: str, put: Callable[[bytes], None]) -> None:
    from google.api_core.exceptions import GoogleAPICallError
    from google.pubsub_v1 import SubscriberClient

    from local.subscription import CHANGES_SHOWN

    subscriber, name = SubscriberClient(), f"projects/{project}/subscriptions/{CHANGES_SHOWN}"
    request = {"subscription": name, "max_messages": MOST_MESSAGES}
    while True:
        try:
            pulled = subscriber.pull(request, timeout=PULL_SECONDS, retry=None).received_messages
            for received in pulled:
                put(received.message.data)
            if pulled:
                subscriber.acknowledge(subscription=name, ack_ids=[received.ack_id for received in pulled])
        except GoogleAPICallError:  # nothing came, or the emulator is ending
            continue
