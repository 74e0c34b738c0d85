"""The console over HTTP and in a real browser, on the local system that the tests of ops have."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone

import pytest
import requests
from werkzeug.serving import make_server

from console.guard import Guard
from console.pages import application
from console.watch import Watch
from local.browser import Browser, BrowserMissing
from local.emulators import required
from ops.target_system import local_target
from tests.ops.conftest import Practice, either, emulated, practice

__all__ = ["either", "emulated", "practice"]

KEY = "the-key-of-this-console"


def now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass
class Console:
    """A console that is up. web: a client that has the cookie, as a browser has it."""

    practice: Practice
    port: int
    watch: Watch
    guard: Guard
    web: requests.Session = field(default_factory=requests.Session)

    def __post_init__(self) -> None:
        self.web.get(f"{self.url}/enter", params={"key": KEY}, timeout=20).raise_for_status()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, **parameters: str) -> str:
        return self.web.get(self.url + path, params=parameters, timeout=20).text

    def post(self, path: str, **fields: str | list[str]) -> requests.Response:
        """As the form of one of its pages."""
        return self.web.post(
            self.url + path, {"token": self.guard.token, **fields}, headers={"Origin": self.url}, timeout=20
        )


@pytest.fixture
def console(practice: Practice) -> Iterator[Console]:
    yield from up(practice)


@pytest.fixture
def either_console(either: Practice) -> Iterator[Console]:
    """On both stores."""
    yield from up(either)


def up(practice: Practice) -> Iterator[Console]:
    target = local_target()
    watch = Watch(target, now)
    # Bound first: the guard knows the port that it stands at.
    server = make_server("127.0.0.1", 0, lambda environ, start: app(environ, start), threaded=True)
    guard = Guard(server.server_port, KEY)
    app = application(target, watch, guard, now)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield Console(practice, server.server_port, watch, guard)
    finally:
        watch.end()
        server.shutdown()
        server.server_close()


@pytest.fixture
def browser() -> Iterator[Browser]:
    try:
        running = Browser()
    except BrowserMissing as missing:
        if required(os.environ):
            pytest.fail(f"REQUIRE_EMULATORS=1, but {missing}")
        pytest.skip(str(missing))
    with running:
        yield running
