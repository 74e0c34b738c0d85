"""The embedded queue keeps messages, retries with growing pauses, and makes refused ones dead letters."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from workstation.embedded_push import Pusher, envelope
from workstation.embedded_queue import MOST_ATTEMPTS, EmbeddedQueue, pause


class Clock:
    def __init__(self) -> None:
        self.time = 1_000_000.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(tmp_path: Path, clock: Clock) -> EmbeddedQueue:
    return EmbeddedQueue(tmp_path / "queue.sqlite3", clock)


def test_a_published_message_survives_a_killed_publisher(tmp_path: Path) -> None:
    publisher = (
        "import os, signal, sys; from pathlib import Path; from workstation.embedded_queue import EmbeddedQueue;"
        "EmbeddedQueue(Path(sys.argv[1])).publish(b'change', {'kind': 'patients'});"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", publisher, str(tmp_path / "queue.sqlite3")], check=False)
    assert killed.returncode == -signal.SIGKILL
    (message,) = EmbeddedQueue(tmp_path / "queue.sqlite3").take(10)
    assert (message.data, message.attributes, message.attempt) == (b"change", {"kind": "patients"}, 1)


def test_a_message_in_progress_is_not_delivered_twice(queue: EmbeddedQueue) -> None:
    queue.publish(b"change", {})
    assert len(queue.take(10)) == 1
    assert queue.take(10) == []


def test_a_message_that_was_never_answered_is_delivered_again(queue: EmbeddedQueue, clock: Clock) -> None:
    queue.publish(b"change", {})
    queue.take(10)
    clock.time += 181
    (again,) = queue.take(10)
    assert again.attempt == 2


def test_an_acknowledged_message_is_gone(queue: EmbeddedQueue) -> None:
    queue.publish(b"change", {})
    queue.acknowledge(queue.take(10)[0])
    assert (queue.waiting(), queue.dead()) == (0, 0)


def test_a_refused_message_waits_ten_seconds_at_first_and_ten_minutes_at_last(
    queue: EmbeddedQueue, clock: Clock
) -> None:
    queue.publish(b"change", {})
    queue.refuse(queue.take(10)[0])
    clock.time += 9.9
    assert queue.take(10) == []
    clock.time += 0.1
    assert len(queue.take(10)) == 1
    assert [pause(attempt) for attempt in (1, 2, 3, 6, 7, 20, 10**6)] == [10, 20, 40, 320, 600, 600, 600]


def test_a_message_refused_too_often_becomes_a_dead_letter(queue: EmbeddedQueue, clock: Clock) -> None:
    queue.publish(b"change", {})
    for _ in range(MOST_ATTEMPTS):
        assert queue.dead() == 0
        queue.refuse(queue.take(10)[0])
        clock.time += 600
    assert (queue.waiting(), queue.dead()) == (0, 1)


def test_the_oldest_message_is_delivered_first(queue: EmbeddedQueue, clock: Clock) -> None:
    for data in (b"first", b"second", b"third"):
        queue.publish(data, {})
        clock.time += 1
    assert [message.data for message in queue.take(2)] == [b"first", b"second"]


def test_the_envelope_is_the_one_that_pubsub_pushes(queue: EmbeddedQueue) -> None:
    queue.publish(b'{"id":"7"}', {"kind": "patients"})
    body = json.loads(envelope(queue.take(1)[0]))
    message = body["message"]
    assert base64.b64decode(message["data"]) == b'{"id":"7"}'
    assert message["attributes"] == {"kind": "patients"}
    assert message["messageId"] == "1"
    assert message["publishTime"] == "1970-01-12T13:46:40Z"
    assert body["subscription"].startswith("projects/")


class Subscriber:
    """A server that answers with the statuses it was given, then with 204."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.bodies: list[Any] = []
        self.enough = threading.Semaphore(0)
        subscriber = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                subscriber.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(subscriber.statuses.pop(0) if subscriber.statuses else 204)
                self.end_headers()
                subscriber.enough.release()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the inherited name
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def subscriber() -> Iterator[Subscriber]:
    subscriber = Subscriber(500)
    yield subscriber
    subscriber.server.shutdown()
    subscriber.server.server_close()


def test_a_message_is_pushed_until_it_is_accepted(queue: EmbeddedQueue, clock: Clock, subscriber: Subscriber) -> None:
    with Pusher(queue, subscriber.url):
        queue.publish(b"change", {})
        assert subscriber.enough.acquire(timeout=10), "never pushed"
    # The refusal is written by the end of the block; the pause after it is over when the clock says so.
    assert (queue.waiting(), queue.take(10)) == (1, [])
    clock.time += 200
    with Pusher(queue, subscriber.url):
        assert subscriber.enough.acquire(timeout=10), "never pushed again"
    assert queue.waiting() == 0
    assert [body["deliveryAttempt"] for body in subscriber.bodies] == [1, 2]


def test_a_subscriber_that_is_down_gives_no_status() -> None:
    from local.emulators import free_port
    from workstation.embedded_push import post

    assert post(f"http://127.0.0.1:{free_port()}/", b"{}") == 0
