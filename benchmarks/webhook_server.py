"""The functions that receive a webhook, as the functions-framework serves them, and a signed delivery for them."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import ROOT, running
from local.emulators import Emulators, free_port

BASELINES = Path(__file__).parent / "webhook_baselines"
PROJECT, TOPIC, SECRET = "benchmark", "drchrono-events", "a-secret-of-usual-length-0123456789"
THREADS = 32  # of the server, one for each connection at the largest load
START_SECONDS = 60

# The live form: practice, registration, and a record about as large as a patient.
BODY = json.dumps(
    {
        "practice_group_id": 4321,
        "receiver": {"id": 1, "owning_doctor_id": 2},
        "object": {
            "id": 87654321,
            "updated_at": "2026-03-24T11:02:33",
            **{f"field_{number}": f"value {number}" for number in range(60)},
        },
    }
).encode()
REQUEST = (
    b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nX-drchrono-event: PATIENT_MODIFY\r\n"
    b"X-drchrono-delivery: 0b6a1f6e-3f7e-4ac8-8c5e-1d2f3a4b5c6d\r\n"
    b"X-drchrono-signature: " + hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest().encode() + b"\r\n"
    b"Content-Length: " + str(len(BODY)).encode() + b"\r\n\r\n" + BODY
)


@dataclass(frozen=True)
class Variant:
    name: str
    source: Path
    target: str = "receive"


NOTHING = Variant("(a) answers 204", BASELINES / "nothing.py")
VERIFY = Variant("(b) verifies only", BASELINES / "verify.py")
SAMPLE = Variant("(c) usual sample", BASELINES / "sample.py")
BARE = Variant("(e) bare gRPC call", BASELINES / "bare.py")
OURS = Variant("(d) receive_webhook", ROOT / "main.py", "receive_webhook")
HELLO = Variant("imports pubsub_v1", BASELINES / "hello.py")


@contextmanager
def broker() -> Iterator[None]:
    """Run the Pub/Sub emulator, with the topic, for the servers that start within."""
    with Emulators() as emulators:
        os.environ.update(emulators.environment)
        from google.pubsub_v1 import PublisherClient  # after the variable that it reads

        PublisherClient().create_topic(name=f"projects/{PROJECT}/topics/{TOPIC}")
        yield


@contextmanager
def served(variant: Variant) -> Iterator[int]:
    """Yield the port of a started server, which may not listen yet."""
    port = free_port()
    command = [sys.executable, "-m", "functions_framework", "--source", str(variant.source), "--target", variant.target]
    environment = {
        **os.environ,
        "GCP_PROJECT": PROJECT,
        "EVENTS_TOPIC": TOPIC,
        "DRCHRONO_WEBHOOK_SECRET": SECRET,
        "THREADS": str(THREADS),
    }
    with running([*command, "--host", "127.0.0.1", "--port", str(port)], environment=environment):
        yield port


def first_answer(port: int) -> None:
    """Wait until a delivery is answered with 204."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with suppress(ConnectionError), socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(REQUEST)
            answer = connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 204 "), answer
            return
        time.sleep(0.002)
    raise TimeoutError(f"no answer within {START_SECONDS} s")
