"""Shows the messages of the change feed. The local run has its own subscription."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable

from local.arrivals import row
from workstation.embedded_queue import EmbeddedQueue

MOST_MESSAGES = 100
PULL_SECONDS = 5.0
NAMES_COLUMNS = 20  # the rest of 80 columns after time, change and record

# Returns the messages that arrived since the last call.
Take = Callable[[], list[bytes]]


def change_text(data: bytes) -> str:
    """Return a message as one line: kind, id, version, operation and names of fields."""
    change = json.loads(data)
    if change["operation"] == "filled":
        return row("feed: filled", change["kind"], f"{change['count']} records")
    words = "sent again" if change["replay"] else ", ".join(change["fields"])
    if len(words) > NAMES_COLUMNS:
        words = f"{words[: NAMES_COLUMNS - 1]}…"
    return row(f"feed: {change['operation']} v{change['version']}", f"{change['kind']}/{change['id']}", words).rstrip()


def from_queue(changes: EmbeddedQueue) -> Take:
    """In the embedded form: read the messages from the queue to which the feed publishes them."""

    def take() -> list[bytes]:
        taken = changes.take(MOST_MESSAGES)
        for message in taken:
            changes.acknowledge(message)
        return [message.data for message in taken]

    return take


def from_pubsub(project: str) -> Take:
    """With the emulator: pull in a thread until this process ends. The returned function does not wait."""
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
        except GoogleAPICallError:  # no message came, or the emulator is stopping
            continue
