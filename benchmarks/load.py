"""Load receive_webhook for a minute, partly with hostile requests: no answer is 5xx, and memory stays flat.

32 connections send as fast as they are answered. 10 % of the deliveries have a wrong signature, and 1 % are too large.
The functions-framework serves the function, which publishes to the Pub/Sub emulator.

    python -m benchmarks.load [--quick] [--json FILE]
"""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import selectors
import socket
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator

import psutil

from benchmarks.report import Report, Row, Want, program
from benchmarks.webhook_server import BODY, OURS, REQUEST, broker, first_answer, served
from functions.request_body import MOST_BODY_BYTES

CONNECTIONS = 32
SECONDS, QUICK_SECONDS = 60.0, 8.0
BAD_SIGNATURES, OVERSIZED = 0.10, 0.01
LOOK_SECONDS = 0.5

# What the interpreter's own allocator may still take after the first quarter. A leak of 100 bytes for each delivery
# would be more than that within the minute.
MOST_GROWTH_MIB = 4.0

SIGNATURE = REQUEST.split(b"X-drchrono-signature: ")[1].split(b"\r\n")[0]
FORGED = REQUEST.replace(SIGNATURE, b"0" * len(SIGNATURE))
LARGE = REQUEST.replace(b"Content-Length: %d" % len(BODY), b"Content-Length: %d" % (MOST_BODY_BYTES + 1)).replace(
    BODY, b"x" * (MOST_BODY_BYTES + 1)
)
EXPECTED = {REQUEST: 204, FORGED: 401, LARGE: 413}


def load(port: int, seconds: float) -> tuple[Counter[str], list[float]]:
    """Return how many answers of each status came, and the latency (s) of each accepted delivery."""
    dice = random.Random(17)
    answers: Counter[str] = Counter()
    latencies: list[float] = []
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as opened:

        def send(connection: socket.socket) -> None:
            luck = dice.random()
            request = LARGE if luck < OVERSIZED else FORGED if luck < OVERSIZED + BAD_SIGNATURES else REQUEST
            selector.modify(connection, selectors.EVENT_READ, (request, time.perf_counter()))
            with contextlib.suppress(OSError):  # the server closes the connection of a delivery that it refuses
                connection.sendall(request)

        def connect() -> None:
            connection = opened.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(connection, selectors.EVENT_READ)
            send(connection)

        for _ in range(CONNECTIONS):
            connect()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for key, _ in selector.select(timeout=1):
                connection, (request, began) = key.fileobj, key.data
                assert isinstance(connection, socket.socket)
                answer = _answer(connection)
                if answer is None:
                    selector.unregister(connection)
                    connection.close()
                    connect()
                    answers["closed without an answer"] += 1
                    continue
                status = int(answer.split(b" ", 2)[1])
                expected = EXPECTED[request]
                answers[str(status) if status == expected else f"{status} in place of {expected}"] += 1
                if status == 204:
                    latencies.append(time.perf_counter() - began)
                send(connection)
    return answers, latencies


def _answer(connection: socket.socket) -> bytes | None:
    """Return one whole answer, or None if the connection was closed."""
    received = b""
    with contextlib.suppress(OSError):
        while piece := connection.recv(65536):
            received += piece
            head, ended, body = received.partition(b"\r\n\r\n")
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0"
            if ended and len(body) >= int(length):
                return received
    return None


@contextlib.contextmanager
def watched(port: int) -> Iterator[list[float]]:
    """Yield the resident memory (MiB) of the process that listens on `port`, and of its workers, every LOOK_SECONDS."""
    server = next(one for one in psutil.Process().children() if str(port) in one.cmdline())
    seen: list[float] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_SECONDS):
            tree = [server, *server.children(recursive=True)]
            seen.append(sum(process.memory_info().rss for process in tree) / 2**20)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def measure(*, quick: bool) -> Report:
    seconds = QUICK_SECONDS if quick else SECONDS
    report = Report("load")
    with broker(), served(OURS) as port, multiprocessing.get_context("spawn").Pool(1) as pool:
        first_answer(port)
        with watched(port) as memory:
            answers, latencies = pool.apply(load, (port, seconds))
    quarter = len(memory) // 4
    early, late = statistics.median(memory[quarter : 2 * quarter]), statistics.median(memory[-quarter:])
    cuts = [cut * 1000 for cut in statistics.quantiles(latencies, n=100)]
    report.rows += [{"answer": answer, "times": times} for answer, times in sorted(answers.items())]
    row: Row = {
        "taken per second": len(latencies) / seconds,
        "p50 ms": cuts[49],
        "p99 ms": cuts[98],
        "MiB early": early,
        "MiB late": late,
    }
    report.rows.append(row)
    failed = sum(times for answer, times in answers.items() if answer.startswith("5"))
    other = sum(times for answer, times in answers.items() if answer not in ("204", "401", "413"))
    report.wanted += [
        Want("answers 5xx", "0", str(failed), failed == 0),
        Want("answers other than each delivery deserves", "0", str(other), other == 0),
        Want(
            "growth of memory from the second quarter to the last",
            f"at most {MOST_GROWTH_MIB:.0f} MiB",
            f"{late - early:+.1f} MiB",
            late - early <= MOST_GROWTH_MIB,
        ),
    ]
    report.notes.append(f"{CONNECTIONS} connections, {seconds:.0f} s; server, load and emulator share the cores.")
    return report


if __name__ == "__main__":
    program(measure, __doc__, quick=f"{QUICK_SECONDS:.0f} s")
