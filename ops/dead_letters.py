"""Messages that nobody could store: to be seen, sent again, or thrown away.

Of a message only what `shared.webhooks.events` can read of it is shown (event, kind, id, delivery), or
why it cannot be read. Whatever else is in it stays in it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ops.target_system import TargetSystem
from shared.drchrono.kinds import KINDS
from shared.errors import MessageUnusable, SyncError
from shared.webhooks.events import EVENTS, decode

if TYPE_CHECKING:
    from google.pubsub_v1 import SubscriberClient

HELD = "drchrono-events-dead-hold"

# As many as a person can still choose from; what is beyond them comes up when these are gone.
MOST = 1000

CALL_SECONDS = 10.0
# A pull waits until there is something. The first has a connection to set up; those after it bring what is left.
PULL_SECONDS = 1.5
NEXT_PULL_SECONDS = 0.5

# Pub/Sub writes what it did into the attributes of a message that it puts aside; they are not the event's.
ITS_OWN = "CloudPubSubDeadLetter"


class QueueUnavailable(SyncError):
    """Pub/Sub, or the embedded queue, cannot be asked; the text says what to do."""

    reason = "queue_unavailable"


@dataclass(frozen=True)
class DeadLetter:
    """number: by which `replay` and `discard` know it. handle: what acknowledges it; of no use later."""

    number: str
    published_at: datetime
    data: bytes = field(repr=False)
    attributes: Mapping[str, str] = field(repr=False)
    handle: str = field(default="", repr=False)

    def shown(self) -> dict[str, str]:
        """What may be seen of it: of the attributes, only values that our own tables know."""
        seen = {"number": self.number, "published_at": self.published_at.isoformat()}
        event, kind = self.attributes.get("event", ""), self.attributes.get("kind", "")
        try:
            change = decode(self.data)
        except MessageUnusable as error:
            known = {"event": event if event in EVENTS else "", "kind": kind if kind in KINDS else ""}
            return {**seen, **known, "id": "", "delivery": "", "problem": error.reason}
        return {
            **seen,
            "event": change.event,
            "kind": change.kind,
            "id": change.id,
            "delivery": change.delivery,
            "problem": "",
        }


class DeadLetters(Protocol):
    """Every method may raise QueueUnavailable."""

    def look(self, most: int) -> list[DeadLetter]:
        """Up to `most`, oldest first; they stay where they are."""

    def replay(self, letters: Sequence[DeadLetter]) -> None:
        """Publish them as they were, and take them off."""

    def discard(self, letters: Sequence[DeadLetter]) -> None: ...


def dead_letters(target: TargetSystem) -> DeadLetters:
    if target.folder is not None:
        return EmbeddedDeadLetters(target.folder / "queue.sqlite3")
    cloud = target.system.cloud()
    return PubSubDeadLetters(cloud.project, cloud.topic)


class PubSubDeadLetters:
    """The subscription that holds them (terraform/pubsub.tf). Clients turn to PUBSUB_EMULATOR_HOST by themselves."""

    def __init__(self, project: str, topic: str, subscription: str = HELD) -> None:
        self._topic = f"projects/{project}/topics/{topic}"
        self._subscription = f"projects/{project}/subscriptions/{subscription}"

    def look(self, most: int) -> list[DeadLetter]:
        with _translated():
            subscriber = _subscriber()
            letters = self._pull(subscriber, most)
            # They are anyone's again at once, not only after the subscription's deadline.
            self._release(subscriber, letters)
        return letters

    def replay(self, letters: Sequence[DeadLetter]) -> None:
        from google.pubsub_v1 import PublisherClient, PubsubMessage

        with _translated():
            publisher, subscriber = PublisherClient(), _subscriber()
            for letter in self._held(subscriber, letters):
                own = {name: value for name, value in letter.attributes.items() if not name.startswith(ITS_OWN)}
                message = PubsubMessage(data=letter.data, attributes=own)
                publisher.publish(topic=self._topic, messages=[message], retry=None, timeout=CALL_SECONDS)
                self._acknowledge(subscriber, [letter])

    def discard(self, letters: Sequence[DeadLetter]) -> None:
        with _translated():
            subscriber = _subscriber()
            self._acknowledge(subscriber, self._held(subscriber, letters))

    def _held(self, subscriber: SubscriberClient, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """These again, with handles that are good now; what is no longer there is left out."""
        wanted = {letter.number for letter in letters}
        pulled = self._pull(subscriber, MOST)
        self._release(subscriber, [letter for letter in pulled if letter.number not in wanted])
        return [letter for letter in pulled if letter.number in wanted]

    def _pull(self, subscriber: SubscriberClient, most: int) -> list[DeadLetter]:
        """A pull brings some of what is there, so it is repeated until one brings nothing new."""
        from google.api_core.exceptions import DeadlineExceeded

        found: dict[str, DeadLetter] = {}
        while len(found) < most:
            seconds = NEXT_PULL_SECONDS if found else PULL_SECONDS
            try:
                answer = subscriber.pull(
                    subscription=self._subscription, max_messages=most - len(found), timeout=seconds, retry=None
                )
            except DeadlineExceeded:
                break  # there is nothing (more)
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
        return sorted(found.values(), key=lambda letter: letter.published_at)

    def _release(self, subscriber: SubscriberClient, letters: Sequence[DeadLetter]) -> None:
        if letters:
            handles = [letter.handle for letter in letters]
            subscriber.modify_ack_deadline(
                subscription=self._subscription,
                ack_ids=handles,
                ack_deadline_seconds=0,
                retry=None,
                timeout=CALL_SECONDS,
            )

    def _acknowledge(self, subscriber: SubscriberClient, letters: Sequence[DeadLetter]) -> None:
        if letters:
            handles = [letter.handle for letter in letters]
            subscriber.acknowledge(subscription=self._subscription, ack_ids=handles, retry=None, timeout=CALL_SECONDS)


def _subscriber() -> SubscriberClient:
    from google.pubsub_v1 import SubscriberClient

    return SubscriberClient()


@contextmanager
def _translated() -> Iterator[None]:
    """Google's errors as ours, without their texts."""
    from google.api_core.exceptions import GoogleAPIError, NotFound, PermissionDenied
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except PermissionDenied:
        raise QueueUnavailable(
            f"Pub/Sub does not let you: ask for roles/pubsub.subscriber on {HELD}, "
            "and for sending again roles/pubsub.publisher on the topic"
        ) from None
    except NotFound:
        raise QueueUnavailable(f"there is no subscription {HELD}: create it (terraform apply)") from None
    except (GoogleAPIError, GoogleAuthError) as error:
        raise QueueUnavailable(f"Pub/Sub does not answer ({type(error).__name__}): try again") from None


class EmbeddedDeadLetters:
    """The table `dead` of the embedded queue (`workstation.embedded_queue`)."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def look(self, most: int) -> list[DeadLetter]:
        sql = "select id, data, attributes, published_at from dead order by id limit ?"
        with closing(self._connection()) as connection:
            rows = connection.execute(sql, (most,)).fetchall()
        return [
            DeadLetter(str(number), datetime.fromtimestamp(published_at, timezone.utc), data, json.loads(attributes))
            for number, data, attributes, published_at in rows
        ]

    def replay(self, letters: Sequence[DeadLetter]) -> None:
        sql = (
            "insert into messages (data, attributes, published_at, due)"
            " select data, attributes, published_at, 0 from dead where id = ?"
        )
        self._change(letters, [sql])

    def discard(self, letters: Sequence[DeadLetter]) -> None:
        self._change(letters, [])

    def _change(self, letters: Iterable[DeadLetter], before: Sequence[str]) -> None:
        with closing(self._connection()) as connection, connection:
            connection.execute("begin immediate")
            for letter in letters:
                for sql in (*before, "delete from dead where id = ?"):
                    connection.execute(sql, (int(letter.number),))

    def _connection(self) -> sqlite3.Connection:
        if not self._file.is_file():
            raise QueueUnavailable(f"there is no queue in {self._file.parent}: is `make run` still running?")
        return sqlite3.connect(self._file, timeout=CALL_SECONDS)
