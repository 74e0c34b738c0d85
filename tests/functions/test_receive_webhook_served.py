"""The receiver as the platform serves it: a process of functions-framework."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from functions.request_body import MOST_BODY_BYTES
from local.emulators import Emulators, free_port, wait_for_port
from shared.webhooks.events import decode
from tests.functions.deliveries import BY_TOKEN, GUIDE, ROOT, SECRET


@dataclass
class Served:
    port: int
    log: Path

    def exchange(self, method: str, body: Any = None, headers: Mapping[str, str] = BY_TOKEN) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, "/", body, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def raw(self, request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(65536), b""))


@contextmanager
def served(log: Path, environ: Mapping[str, str]) -> Iterator[Served]:
    port = free_port()
    command = [sys.executable, "-m", "functions_framework", "--target", "receive_webhook", "--host", "127.0.0.1"]
    inherited = {name: value for name, value in os.environ.items() if not name.endswith("_EMULATOR_HOST")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--port", str(port)], cwd=ROOT, env={**inherited, **environ}, stdout=output, stderr=output
        )
        try:
            wait_for_port(port, process, "the function")
            yield Served(port, log)
        finally:
            process.terminate()
            process.wait()


def test_served_by_the_framework_every_request_is_answered(tmp_path: Path) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    environ = {
        "GCP_PROJECT": "test-project",
        "DRCHRONO_WEBHOOK_SECRET": SECRET,
        "PUBSUB_EMULATOR_HOST": nowhere,
    }
    head = b"POST / HTTP/1.1\r\nHost: x\r\nX-drchrono-signature: whsec_3f9a\r\nX-drchrono-event: PATIENT_MODIFY\r\n"
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n"
    with served(tmp_path / "log", environ) as function:
        assert function.exchange("HEAD") == (200, b"")
        assert function.exchange("POST", b"x" * (MOST_BODY_BYTES + 1))[0] == 413
        assert function.exchange("POST", b"x" * 6_000_000)[0] == 413
        assert function.exchange("POST", iter([b"x" * 1_000_000] * 3))[0] == 413
        assert function.exchange("PUT", b"x" * 100_000)[0] == 405
        for broken in (b"ZZ\r\nabc\r\n", b"5\r\nab", b"-1\r\n", b"5;\x00\r\nabcde\r\n"):
            assert function.raw(chunked + broken).startswith(b"HTTP/1.1 400 ")
        assert function.raw(head + b"Content-Length: 50\r\n\r\n{}").startswith(b"HTTP/1.1 400 ")
        assert function.raw(head + b"\r\n").startswith(b"HTTP/1.1 400 ")
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert log.count("body_unreadable") == 4


def test_served_with_a_wrong_environment_every_request_is_500_and_names_the_setting(tmp_path: Path) -> None:
    with served(tmp_path / "log", {"GCP_PROJECT": "test-project"}) as function:
        for method in ("GET", "POST", "POST"):
            status, body = function.exchange(method, GUIDE if method == "POST" else None)
            assert status == 500
            assert json.loads(body) == {"reason": "misconfigured", "setting": "DRCHRONO_WEBHOOK_SECRET"}


@pytest.mark.emulator
def test_served_by_the_framework_every_accepted_event_is_in_pubsub(
    emulators: Emulators, project: str, tmp_path: Path
) -> None:
    from google.pubsub_v1 import PublisherClient, SubscriberClient

    topic, subscription = f"projects/{project}/topics/drchrono-events", f"projects/{project}/subscriptions/events"
    PublisherClient().create_topic(name=topic)
    subscriber = SubscriberClient()
    subscriber.create_subscription(name=subscription, topic=topic)
    environ = {**emulators.environment, "GCP_PROJECT": project, "DRCHRONO_WEBHOOK_SECRET": SECRET, "THREADS": "16"}
    answers = []
    with served(tmp_path / "log", environ) as function:
        start = threading.Barrier(16)  # the first requests build the client together

        def post(number: int) -> None:
            if number < 16:
                start.wait()
            body = b'{"event":"PATIENT_CREATE","object_id":%d,"webhook_id":"abc123"}' % number
            answers.append(function.exchange("POST", body)[0])

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(post, range(100)))
    assert answers == [204] * 100
    received: list[int] = []
    while len(received) < 100:
        pulled = subscriber.pull(subscription=subscription, max_messages=100, timeout=10).received_messages
        subscriber.acknowledge(subscription=subscription, ack_ids=[one.ack_id for one in pulled])
        received += [int(decode(one.message.data).id) for one in pulled]
    assert sorted(received) == list(range(100))


def test_served_by_the_framework_senders_that_stop_in_the_body_hold_no_thread_for_long(tmp_path: Path) -> None:
    environ = {
        "GCP_PROJECT": "test-project",
        "DRCHRONO_WEBHOOK_SECRET": SECRET,
        "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{free_port()}",
        "THREADS": "4",
    }
    head = b"POST / HTTP/1.1\r\nHost: x\r\nX-drchrono-signature: whsec_3f9a\r\nContent-Length: 50\r\n\r\n{"
    with served(tmp_path / "log", environ) as function, ExitStack() as open_:
        senders = [
            open_.enter_context(socket.create_connection(("127.0.0.1", function.port), timeout=30)) for _ in range(8)
        ]
        for sender in senders:
            sender.sendall(head)
        # Twice as many as there are threads: the second half waits for the first to be refused.
        for sender in senders:
            assert sender.recv(65536).startswith(b"HTTP/1.1 408 ")
        assert function.exchange("HEAD") == (200, b"")


@pytest.mark.emulator
def test_without_pubsub_the_event_is_answered_503_and_nothing_is_written(
    emulators: Emulators, project: str, tmp_path: Path
) -> None:
    from google.cloud import firestore

    nowhere = f"127.0.0.1:{free_port()}"
    environ = {
        **emulators.environment,
        "PUBSUB_EMULATOR_HOST": nowhere,
        "GCP_PROJECT": project,
        "DRCHRONO_WEBHOOK_SECRET": SECRET,
    }
    with served(tmp_path / "log", environ) as function:
        assert function.exchange("POST", GUIDE)[0] == 503
        assert list(firestore.Client(project=project).collections()) == []
