"""Reads the body of a request within limits of time and size."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flask import Request

from shared.errors import WebhookRejected

LONGEST_SECONDS = 5.0
MOST_BODY_BYTES = 2**20  # a record is some kilobytes
PIECE_BYTES = 2**16
# A sender reads the answer only after it has sent everything, so an oversized body is read to its end and discarded.
# Cloud Run passes no larger body (cloud.google.com/run/quotas). Elsewhere, the connection is closed beyond this size.
MOST_DISCARDED_BYTES = 32 * 2**20

# Keys of the connection in the WSGI environment: gunicorn in the cloud, werkzeug elsewhere.
SOCKETS = ("gunicorn.socket", "werkzeug.socket")


def read_body(request: Request, seconds: float = LONGEST_SECONDS) -> bytes:
    """Return the raw body, with or without a Content-Length. Holds at most MOST_BODY_BYTES in memory.

    After `seconds`, shuts down the reading side of the connection, so that a slow sender cannot occupy a thread for
    longer. Raises WebhookRejected.
    """
    connection = next((request.environ[name] for name in SOCKETS if name in request.environ), None)
    with WATCHDOG.watching(connection, seconds):
        return _read(request)


def _read(request: Request) -> bytes:
    pieces, size = [], 0
    try:
        while size <= MOST_DISCARDED_BYTES and (piece := request.stream.read(PIECE_BYTES)):
            size += len(piece)
            if size <= MOST_BODY_BYTES:
                pieces.append(piece)
    except Exception:  # the servers' errors (a malformed chunk, a closed connection) have no common base
        raise WebhookRejected("body_unreadable", 400) from None
    if size > MOST_BODY_BYTES:
        raise WebhookRejected("body_too_large", 413)
    return b"".join(pieces)


@dataclass(eq=False)
class _Watched:
    connection: Any
    due: float
    is_late: bool = False

    def shut(self) -> None:
        self.is_late = True
        if isinstance(self.connection, socket.socket):
            try:
                self.connection.shutdown(socket.SHUT_RD)
            except OSError:
                return  # the sender has closed the connection


class Watchdog:
    """Shuts down connections that are read from for too long.

    One thread for all requests, started by the first: starting one takes longer than everything else that a request
    needs before it is published. It wakes up every few seconds while requests come, and not at all without any.
    """

    def __init__(self) -> None:
        self._earlier = threading.Condition()  # guards the others; notified if the thread would wake up too late
        self._watched: set[_Watched] = set()
        self._wakes_at = math.inf
        self._thread: threading.Thread | None = None

    @contextmanager
    def watching(self, connection: Any, seconds: float) -> Iterator[None]:
        """Raises WebhookRejected if the block took longer, whatever it raised itself."""
        watched = _Watched(connection, time.monotonic() + seconds)
        with self._earlier:
            if self._thread is None:
                thread = threading.Thread(target=self._watch, name="request-bodies", daemon=True)
                thread.start()
                self._thread = thread  # if it could not be started, the next request tries again
            self._watched.add(watched)
            if watched.due < self._wakes_at:
                self._earlier.notify()
        try:
            yield
        finally:
            with self._earlier:
                self._watched.discard(watched)
            if watched.is_late:  # the shutdown ended the reading
                raise WebhookRejected("body_too_slow", 408)

    def _watch(self) -> None:
        with self._earlier:
            while True:
                now = time.monotonic()
                for late in [one for one in self._watched if one.due <= now]:
                    self._watched.discard(late)
                    late.shut()
                self._wakes_at = min((one.due for one in self._watched), default=math.inf)
                self._earlier.wait(None if self._wakes_at == math.inf else self._wakes_at - now)


WATCHDOG = Watchdog()
