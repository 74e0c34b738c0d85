"""Clients that announce a body and send it too slowly, to occupy the threads of receive_webhook."""

from __future__ import annotations

import contextlib
import socket
import time
from contextlib import ExitStack

DRIPPING = 6  # clients: fewer than the threads of the instances


def drip(port: int, seconds: float) -> None:
    """Open DRIPPING connections that announce a body and send it too slowly, for `seconds`."""
    with ExitStack() as senders:
        opened = []
        for _ in range(DRIPPING):
            with contextlib.suppress(OSError):
                opened.append(senders.enter_context(socket.create_connection(("127.0.0.1", port), timeout=seconds)))
                opened[-1].sendall(b"POST / HTTP/1.1\r\nHost: soak\r\nContent-Length: 1000\r\n\r\n{")
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            time.sleep(0.5)
            for sender in opened:
                with contextlib.suppress(OSError):
                    sender.sendall(b" ")
