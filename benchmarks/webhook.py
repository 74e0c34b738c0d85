"""Measure how fast receive_webhook answers, compared with functions that do less and with the usual sample code.

The functions-framework serves all of them in the same way, and those that publish use the same Pub/Sub emulator. The
load comes from a separate process with keep-alive connections, each of which sends again when it is answered. Server,
load and emulator share the machine's cores, so compare figures within one run, not across machines.

    python -m benchmarks.webhook [--quick] [--json FILE]
"""

from __future__ import annotations

import contextlib
import multiprocessing
import selectors
import socket
import statistics
import time
from collections.abc import Sequence
from typing import Literal

from benchmarks.report import Report, Row, Want, bounded, median_row, percentile, program
from benchmarks.webhook_server import (
    BARE,
    HELLO,
    NOTHING,
    OURS,
    REQUEST,
    SAMPLE,
    THREADS,
    VERIFY,
    Variant,
    broker,
    first_answer,
    served,
)

CONNECTIONS = (1, 8, 32)


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


def answers(variant: Variant, port: int, connections: int, seconds: float) -> Row:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(load, (port, connections, seconds / 4))
        latencies = pool.apply(load, (port, connections, seconds))
    return {
        "variant": variant.name,
        "connections": connections,
        "p50_ms": statistics.median(latencies) * 1000,
        "p99_ms": percentile(latencies, 99) * 1000,
        "per_second": len(latencies) / seconds,
    }


def warm(rounds: int, seconds: float) -> list[Row]:
    """Measure every variant in turn, `rounds` times, so that other load affects all of them alike."""
    variants = (NOTHING, VERIFY, SAMPLE, OURS, BARE)
    rows: list[Row] = []
    with contextlib.ExitStack() as servers:
        ports = [servers.enter_context(served(variant)) for variant in variants]
        for port in ports:
            first_answer(port)
        for connections in CONNECTIONS:
            turns = [
                [answers(variant, port, connections, seconds) for variant, port in zip(variants, ports, strict=True)]
                for _ in range(rounds)
            ]
            rows += [median_row(of_variant) for of_variant in zip(*turns, strict=True)]
    return rows


def cold(rounds: int) -> list[Row]:
    """Measure the milliseconds from the start of the process to the first 204."""
    variants = (NOTHING, HELLO, SAMPLE, OURS)
    taken: list[list[float]] = []
    for _ in range(rounds):
        taken.append([])
        for variant in variants:
            began = time.perf_counter()
            with served(variant) as port:
                first_answer(port)
                taken[-1].append((time.perf_counter() - began) * 1000)
    medians = map(statistics.median, zip(*taken, strict=True))
    return [{"variant": variant.name, "cold_ms": ms} for variant, ms in zip(variants, medians, strict=True)]


def ratio(rows: Sequence[Row], column: str, one: Variant, other: Variant, connections: int = 0) -> float:
    """Return the ratio of two variants in a column. connections: 0 for rows without them."""

    def figure(variant: Variant) -> float:
        return next(
            float(row[column])
            for row in rows
            if column in row and (row["variant"], row.get("connections", 0)) == (variant.name, connections)
        )

    return figure(one) / figure(other)


def judge(rows: Sequence[Row]) -> list[Want]:
    return [
        _ratio_want("p50 at 1 connection, of (c)", "<=", 0.2, ratio(rows, "p50_ms", OURS, SAMPLE, 1)),
        _ratio_want("p50 at 1 connection, of (b)", "<=", 2.5, ratio(rows, "p50_ms", OURS, VERIFY, 1)),
        _ratio_want("p50 at 1 connection, of (e)", "<=", 1.5, ratio(rows, "p50_ms", OURS, BARE, 1)),
        _ratio_want("throughput at 32 connections, of (b)", ">=", 0.6, ratio(rows, "per_second", OURS, VERIFY, 32)),
        _ratio_want("cold start to first 204, of importing pubsub_v1", "<=", 1.25, ratio(rows, "cold_ms", OURS, HELLO)),
    ]


def _ratio_want(what: str, sign: Literal["<=", ">="], bound: float, value: float) -> Want:
    return bounded(what, sign, bound, value, f"{value:.3g}")


def measure(*, quick: bool) -> Report:
    rounds, seconds = (1, 1.0) if quick else (3, 2.0)
    with broker():
        rows = [*warm(rounds, seconds), *cold(rounds)]
    floor = ratio(rows, "p50_ms", BARE, VERIFY, 1)
    notes = [
        f"Waiting for a broker at all, (e), takes {floor:.1f} times the p50 of (b) at 1 connection; (d) waits too.",
        f"{THREADS} threads of the server; server, load and emulator share the cores.",
    ]
    return Report("webhook", rows, judge(rows), notes)


if __name__ == "__main__":
    program(measure, __doc__, quick="one short round: whether it works, not how fast")
