"""Measure how fast receive_webhook answers, compared with functions that do less and with the usual sample code.

The functions-framework serves all of them in the same way, and those that publish use the same Pub/Sub emulator. The
load comes from a separate process with keep-alive connections, each of which sends again when it is answered. Server,
load and emulator share the machine's cores, so compare figures within one run, not across machines.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import hmac
import json
import multiprocessing
import os
import selectors
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from local.emulators import Emulators, free_port

ROOT = Path(__file__).parent.parent
BASELINES = Path(__file__).parent / "webhook_baselines"
PROJECT, TOPIC, SECRET = "benchmark", "drchrono-events", "a-secret-of-usual-length-0123456789"
THREADS = 32  # of the server, one for each connection at the largest load
CONNECTIONS = (1, 8, 32)
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


@dataclass(frozen=True)
class Row:
    variant: str
    connections: int
    p50_ms: float
    p99_ms: float
    per_second: float


@contextlib.contextmanager
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
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)], env=environment, stdout=subprocess.DEVNULL, cwd=ROOT
    )
    try:
        yield port
    finally:
        process.terminate()
        process.wait()


def first_answer(port: int) -> None:
    """Wait until a delivery is answered with 204."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(REQUEST)
            answer = connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 204 "), answer
            return
        time.sleep(0.002)
    raise TimeoutError(f"no answer within {START_SECONDS} s")


def load(port: int, connections: int, seconds: float) -> list[float]:
    """Return the latency of each delivery in seconds. Each connection sends the next when the last is answered."""
    started: dict[socket.socket, float] = {}
    latencies = []
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as opened:
        for _ in range(connections):
            connection = opened.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(connection, selectors.EVENT_READ)
            started[connection] = time.perf_counter()
            connection.sendall(REQUEST)
        end = time.perf_counter() + seconds
        while started:
            for key, _ in selector.select():
                answered = key.fileobj
                assert isinstance(answered, socket.socket)
                answer = answered.recv(65536)
                now = time.perf_counter()
                assert answer.startswith(b"HTTP/1.1 204 "), answer
                assert answer.endswith(b"\r\n\r\n")
                latencies.append(now - started.pop(answered))
                if now < end:
                    started[answered] = time.perf_counter()
                    answered.sendall(REQUEST)
    return latencies


def measure(variant: Variant, port: int, connections: int, seconds: float) -> Row:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(load, (port, connections, seconds / 4))
        latencies = pool.apply(load, (port, connections, seconds))
    return Row(
        variant=variant.name,
        connections=connections,
        p50_ms=statistics.median(latencies) * 1000,
        p99_ms=statistics.quantiles(latencies, n=100)[98] * 1000,
        per_second=len(latencies) / seconds,
    )


def median_row(rows: list[Row]) -> Row:
    return Row(
        variant=rows[0].variant,
        connections=rows[0].connections,
        p50_ms=statistics.median(row.p50_ms for row in rows),
        p99_ms=statistics.median(row.p99_ms for row in rows),
        per_second=statistics.median(row.per_second for row in rows),
    )


def warm(rounds: int, seconds: float) -> list[Row]:
    """Measure every variant in turn, `rounds` times, so that other load affects all of them alike."""
    variants = (NOTHING, VERIFY, SAMPLE, OURS, BARE)
    with contextlib.ExitStack() as running:
        ports = {variant.name: running.enter_context(served(variant)) for variant in variants}
        for port in ports.values():
            first_answer(port)
        measured = [
            measure(variant, ports[variant.name], connections, seconds)
            for connections in CONNECTIONS
            for _ in range(rounds)
            for variant in variants
        ]
    return [
        median_row([row for row in measured if (row.variant, row.connections) == (variant.name, connections)])
        for connections in CONNECTIONS
        for variant in variants
    ]


def cold(rounds: int) -> dict[str, float]:
    """Return the milliseconds from the start of the process to the first 204."""
    taken: dict[str, list[float]] = {}
    for _ in range(rounds):
        for variant in (NOTHING, HELLO, SAMPLE, OURS):
            began = time.perf_counter()
            with served(variant) as port:
                first_answer(port)
                taken.setdefault(variant.name, []).append((time.perf_counter() - began) * 1000)
    return {name: statistics.median(times) for name, times in taken.items()}


def find(rows: list[Row], variant: Variant, connections: int) -> Row:
    return next(row for row in rows if (row.variant, row.connections) == (variant.name, connections))


def judge(rows: list[Row], starts: dict[str, float]) -> list[dict[str, object]]:
    ours, busy = find(rows, OURS, 1), find(rows, OURS, 32)
    ratios = [
        ("p50 at 1 connection, of (c)", "<=", 0.2, ours.p50_ms / find(rows, SAMPLE, 1).p50_ms),
        ("p50 at 1 connection, of (b)", "<=", 2.5, ours.p50_ms / find(rows, VERIFY, 1).p50_ms),
        ("p50 at 1 connection, of (e)", "<=", 1.5, ours.p50_ms / find(rows, BARE, 1).p50_ms),
        ("throughput at 32 connections, of (b)", ">=", 0.6, busy.per_second / find(rows, VERIFY, 32).per_second),
        ("cold start to first 204, of importing pubsub_v1", "<=", 1.25, starts[OURS.name] / starts[HELLO.name]),
    ]
    return [
        {
            "what": what,
            "wanted": f"{sign} {bound}",
            "measured": round(ratio, 3),
            "met": ratio <= bound if sign == "<=" else ratio >= bound,
        }
        for what, sign, bound, ratio in ratios
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round: whether it works, not how fast")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    arguments = parser.parse_args()
    rounds, seconds = (1, 1.0) if arguments.quick else (3, 2.0)

    with Emulators() as emulators:
        os.environ.update(emulators.environment)
        from google.pubsub_v1 import PublisherClient  # after the variable that it reads

        PublisherClient().create_topic(name=f"projects/{PROJECT}/topics/{TOPIC}")
        rows = warm(rounds, seconds)
        starts = cold(rounds)
    wanted = judge(rows, starts)

    print(f"{'':<22}{'connections':>12}{'p50 ms':>10}{'p99 ms':>10}{'per second':>12}")
    for row in rows:
        print(f"{row.variant:<22}{row.connections:>12}{row.p50_ms:>10.2f}{row.p99_ms:>10.2f}{row.per_second:>12.0f}")
    print(f"\n{'':<22}{'cold start to first 204, ms':>28}")
    for name, milliseconds in starts.items():
        print(f"{name:<22}{milliseconds:>28.0f}")
    print(f"\n{'(d) against the others':<50}{'wanted':>9}{'measured':>10}")
    for line in wanted:
        print(f"{line['what']:<50}{line['wanted']:>9}{line['measured']:>10}  {'' if line['met'] else 'MISSED'}")
    floor = find(rows, BARE, 1).p50_ms / find(rows, VERIFY, 1).p50_ms
    print(
        f"\nWaiting for a broker at all, (e), takes {floor:.1f} of the p50 of (b) at 1 connection: (d) cannot be below."
    )
    print(f"{os.cpu_count()} cores, shared by server, load and emulator; {THREADS} server threads")
    if arguments.json:
        figures = [asdict(row) for row in rows] + [{"variant": name, "cold_ms": ms} for name, ms in starts.items()]
        arguments.json.write_text(json.dumps({"name": "webhook", "rows": figures, "wanted": wanted}, indent=2) + "\n")


if __name__ == "__main__":
    main()
