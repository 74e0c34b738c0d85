"""The HTTP/1.1 server: reads requests, writes responses, and breaks connections on demand."""

from __future__ import annotations

import logging
import socket
import struct
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from simulator.messages import Request, Response

logger = logging.getLogger("simulator")
_LOOPBACK = ("127.", "::1", "::ffff:127.")
_MAX_BODY_BYTES = 10 * 1024 * 1024  # larger than any record


class Server(ThreadingHTTPServer):
    """Serves one application on one port, one thread per connection."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, host: str, port: int, application: Callable[[Request], Response]) -> None:
        self.application = application
        self.stopping = Event()
        self._open: set[socket.socket] = set()
        self._open_lock = Lock()
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        # The inherited method resolves the host name, which takes seconds on machines without DNS.
        socket_address = self.server_address
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(socket_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def start(self) -> None:
        Thread(target=self.serve_forever, args=(0.02,), name="simulator-server", daemon=True).start()

    def stop(self) -> None:
        """Stop listening and close all open connections, so that no client waits for a stopped server."""
        self.stopping.set()
        self.shutdown()
        self.server_close()
        with self._open_lock:
            for connection in self._open:
                _quietly(connection.shutdown, socket.SHUT_RDWR)

    def opened(self, connection: socket.socket) -> None:
        with self._open_lock:
            self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        with self._open_lock:
            self._open.discard(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log unexpected errors. A client that disconnects is expected."""
        if not isinstance(sys.exception(), (OSError, ValueError)):
            logger.exception("the simulator failed to read a request")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 120
    server: Server

    def setup(self) -> None:
        super().setup()
        self.server.opened(self.connection)

    def finish(self) -> None:
        self.server.closed(self.connection)
        super().finish()

    def _serve(self) -> None:
        request = self._read()
        if request is None:
            return
        try:
            response = self.server.application(request)
        except Exception:
            logger.exception("the simulator failed at %s %s", request.method, request.path)
            response = Response(status=500, body=b"the simulator failed; see its stderr", content_type="text/plain")
        if response.delay_seconds:
            self.server.stopping.wait(response.delay_seconds)
        if response.wire in ("reset", "closed"):
            self._hang_up(reset=response.wire == "reset")
            return
        sent = self._head(response) + (b"" if self.command == "HEAD" else response.body)
        if response.wire == "truncated":
            self.wfile.write(sent[: len(sent) - len(response.body) // 2 - 1])
            self._hang_up(reset=False)
            return
        self.wfile.write(sent)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _serve  # noqa: N815 - names that the base class requires

    def _read(self) -> Request | None:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            body = self._read_chunks()
        else:
            length = self.headers.get("Content-Length", "0")
            if not length.isdecimal() or int(length) > _MAX_BODY_BYTES:
                self.send_error(400 if not length.isdecimal() else 413)
                self.close_connection = True
                return None
            body = self.rfile.read(int(length))
        parts = urlsplit(self.path)
        host = self.headers.get("Host") or "{}:{}".format(*self.server.server_address[:2])
        return Request(
            method=self.command,
            path=parts.path.rstrip("/") or "/",
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=body,
            origin=f"http://{host}",
            target=self.path,
            local=str(self.client_address[0]).startswith(_LOOPBACK),
        )

    def _read_chunks(self) -> bytes:
        body = b""
        while (size := int(self.rfile.readline().split(b";")[0], 16)) and len(body) < _MAX_BODY_BYTES:
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _head(self, response: Response) -> bytes:
        phrase = self.responses.get(response.status, ("",))[0]
        lines = [f"HTTP/1.1 {response.status} {phrase}", f"Date: {self.date_time_string()}"]
        if response.status != 204:
            lines += [f"Content-Type: {response.content_type}", f"Content-Length: {len(response.body)}"]
        lines += [f"{name}: {value}" for name, value in response.headers]
        if self.close_connection:
            lines.append("Connection: close")
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")

    def _hang_up(self, *, reset: bool) -> None:
        self.close_connection = True
        if reset:
            # A linger time of 0 makes close() send RST instead of FIN. The socket closes only when its last file
            # object does, so close those too.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            _quietly(self.rfile.close)
        else:
            _quietly(self.connection.shutdown, socket.SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - inherited name
        """Keep stderr for errors. `Stats` counts the requests and writes the request log."""


def _quietly(action: Callable[..., object], *args: object) -> None:
    try:
        action(*args)
    except OSError:
        return
