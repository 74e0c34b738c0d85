"""The command `python -m ops console`."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import webbrowser
from typing import Annotated

import typer

from ops.options import Local, Project
from ops.session import session
from shared.clock import utc_now
from shared.errors import SyncError
from workstation.wiring import CONSOLE_KEY

HOST = "127.0.0.1"


class PortTaken(SyncError):
    reason = "port_taken"


def console(
    port: Annotated[
        int, typer.Option("--port", metavar="N", help="Where it listens (a free one).", show_default=False)
    ] = 0,
    browser: Annotated[bool, typer.Option(help="Open the browser, where there is one.")] = True,
    project: Project = None,
    local: Local = False,
) -> None:
    """Serve a page that shows the copy live and repairs it.

    The page is available on this machine only, at the address that is printed. Every action asks for confirmation. The
    page shows only ids and times, except on a record's own page. Ctrl-C stops it.
    """
    from werkzeug.serving import WSGIRequestHandler, make_server

    from console.guard import Guard
    from console.pages import application
    from console.watch import Watch
    from ops.authorize import has_browser

    class Silent(WSGIRequestHandler):
        def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002 (the inherited name)
            """Log nothing: a line for each request would contain ids."""

    with session(project, local) as (screen, target), open(os.devnull, "w") as nothing:
        key = os.environ.pop(CONSOLE_KEY, "") or secrets.token_urlsafe(16)
        listening = _listen(port)
        guard = Guard(listening.getsockname()[1], key)
        watch = Watch(target, utc_now)
        app = application(target, watch, guard, utc_now)
        server = make_server(HOST, guard.port, app, threaded=True, request_handler=Silent, fd=listening.fileno())
        url = f"http://{HOST}:{guard.port}/enter?key={key}"
        screen.command(f"The console of {target.name} is up until Ctrl-C. Open:", url)
        screen.console.file.flush()
        if browser and has_browser(os.environ):
            webbrowser.open(url)
        watch.start()
        # Nobody reads the log lines of the system's modules here, and they would stay in memory.
        with contextlib.redirect_stdout(nothing), contextlib.suppress(KeyboardInterrupt):
            server.serve_forever(poll_interval=0.2)
        watch.end()
        screen.say("\nThe console has ended.")


def _listen(port: int) -> socket.socket:
    """Raises PortTaken."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except (OSError, OverflowError):
        listening.close()
        raise PortTaken(f"port {port} is in use or not allowed: choose another with --port, or leave it out") from None
    listening.listen()
    return listening
