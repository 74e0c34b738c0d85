"""Reads the body of a request within limits of time and size."""

from __future__ import annotations

import socket
import threading
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
    late = threading.Event()
    watch = threading.Timer(seconds, _shut, [connection, late])
    watch.daemon = True
    watch.start()
    try:
        return _read(request)
    finally:
        watch.cancel()
        if late.is_set():  # the shutdown ended the reading, whatever `_read` returned or raised
            raise WebhookRejected("body_too_slow", 408)


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


def _shut(connection: Any, late: threading.Event) -> None:
    late.set()
    if isinstance(connection, socket.socket):
        try:
            connection.shutdown(socket.SHUT_RD)
        except OSError:
            return  # the sender has closed the connection
