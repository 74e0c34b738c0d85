"""Reading the body of a request within a time and a size."""

from __future__ import annotations

import socket
import threading
from typing import Any

from flask import Request

from shared.errors import WebhookRejected

LONGEST_SECONDS = 5.0
MOST_BODY_BYTES = 2**20  # a record is some kilobytes
PIECE_BYTES = 2**16
# A sender reads no answer before it has sent all, so what is too large is read to its end, and thrown away. Cloud Run
# lets no more than this through (cloud.google.com/run/quotas); whoever sends more elsewhere is cut off.
MOST_DISCARDED_BYTES = 32 * 2**20

# Where the servers that run the function keep the connection: gunicorn in the cloud, werkzeug elsewhere.
SOCKETS = ("gunicorn.socket", "werkzeug.socket")


def read_body(request: Request, seconds: float = LONGEST_SECONDS) -> bytes:
    """The raw body, with or without a length; no more than MOST_BODY_BYTES of it is ever held.

    After `seconds` the connection's reading side is shut down: a sender that drips bytes holds no thread for longer.
    Raises WebhookRejected.
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
        if late.is_set():  # that ended the reading, whatever it looked like
            raise WebhookRejected("body_too_slow", 408)


def _read(request: Request) -> bytes:
    pieces, size = [], 0
    try:
        while size <= MOST_DISCARDED_BYTES and (piece := request.stream.read(PIECE_BYTES)):
            size += len(piece)
            if size <= MOST_BODY_BYTES:
                pieces.append(piece)
    except Exception:  # the server's own errors (a malformed chunk, a client that left) have no common base
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
            return  # the sender has hung up
