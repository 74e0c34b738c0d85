"""Dead letters: messages that failed on every delivery. List them, publish them again, or discard them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ops.dead_letters_embedded import EmbeddedDeadLetters
from ops.dead_letters_messages import MOST, DeadLetter
from ops.dead_letters_pubsub import PubSubDeadLetters
from ops.target_system import TargetSystem

__all__ = ["MOST", "DeadLetter", "DeadLetters", "dead_letters"]


class DeadLetters(Protocol):
    """Every method may raise QueueUnavailable."""

    def look(self, most: int) -> list[DeadLetter]:
        """Return up to `most` messages, oldest first, and leave them there."""

    def replay(self, messages: Sequence[DeadLetter]) -> None:
        """Publish the messages again and remove them from the dead letters."""

    def discard(self, messages: Sequence[DeadLetter]) -> None: ...


def dead_letters(target: TargetSystem) -> DeadLetters:
    if target.folder is not None:
        return EmbeddedDeadLetters(target.folder / "queue.sqlite3")
    cloud = target.system.cloud()
    return PubSubDeadLetters(cloud.project, cloud.topic)
