"""The client against the simulator over real HTTP, and against small servers with scripted answers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from shared.drchrono.client import DrChrono, TimeLimits
from shared.rate_limit.ledger import Lane
from simulator import Config, Simulator

FORMS = ("guide", "guide-uuid", "live")
# Tokens outlive every test: what happens when they do not has its own tests.
SMALL: dict[str, Any] = {"clock": "virtual", "patients": 12, "seed": 7, "token_seconds": 10**9}


@dataclass
class TestTokens:
    """The first token, then those of `newer`."""

    __test__ = False

    value: str
    newer: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def current(self) -> str:
        return self.value

    def rejected(self, access_token: str) -> str:
        self.refused.append(access_token)
        self.value = self.newer.pop(0) if self.newer else self.value
        return self.value


@dataclass
class TestLimiter:
    """Permits every request, and counts."""

    __test__ = False

    taken: list[Lane] = field(default_factory=list)
    stopped: list[datetime] = field(default_factory=list)

    def acquire(self, lane: Lane) -> None:
        self.taken.append(lane)

    def throttled(self, until: datetime) -> None:
        self.stopped.append(until)


@dataclass
class Harness:
    """A client with its dependencies. Its sleep moves only the simulator's clock, and is recorded."""

    simulator: Simulator
    list_protocol: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        self.tokens = TestTokens(self.simulator.issue_token()["access_token"])
        self.limiter = TestLimiter()
        self.slept: list[float] = []
        self.client = DrChrono(
            url=self.simulator.url,
            tokens=self.tokens,
            limiter=self.limiter,
            now=self.now,
            sleep=self.sleep,
            random=lambda: 1.0,
            list_protocol=self.list_protocol,
            time_limits=TimeLimits(connect_seconds=1, silence_seconds=0.3, answer_seconds=5),
        )

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.simulator.clock.now(), timezone.utc)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.simulator.clock.advance(seconds)

    def fault(self, **rule: Any) -> None:
        self.simulator.faults.set([rule], replace=True)

    def requests(self) -> int:
        return int(self.simulator.stats()["requests"])


@contextmanager
def harness_of(**settings: Any) -> Iterator[Harness]:
    with Simulator(Config(**{**SMALL, **settings})) as simulator:
        yield Harness(simulator)


@pytest.fixture(scope="module", params=FORMS)
def practice(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    """One simulator per form, for tests that change nothing."""
    with Simulator(Config(**SMALL, form=request.param)) as simulator:
        yield simulator


@pytest.fixture
def harness(practice: Simulator) -> Iterator[Harness]:
    yield Harness(practice)
    practice.faults.set([], replace=True)


Reply = tuple[int, dict[str, str], bytes]


@dataclass
class Scripted:
    """A real HTTP server that answers each request with what `script(target, headers)` returns."""

    script: Callable[[str, Mapping[str, str]], Reply]
    seen: list[tuple[str, str | None]] = field(default_factory=list)
    """Method and target, and the Authorization header, of each request."""
    connections: int = 0

    def __enter__(self) -> Scripted:
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                scripted.connections += 1
                super().setup()

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                scripted.seen.append((f"{self.command} {self.path}", self.headers.get("Authorization")))
                status, headers, body = scripted.script(self.path, dict(self.headers))
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PATCH = answer  # noqa: N815 (the names that the base class looks for)

            def log_message(self, *_: object) -> None: ...

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """Clients disconnect on purpose."""

        self._server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def client_of(url: str, **given: Any) -> DrChrono:
    """Return a client of a scripted server, on the machine's clock."""
    parts: dict[str, Any] = {
        "tokens": TestTokens("a-token"),
        "limiter": TestLimiter(),
        "now": lambda: datetime.now(timezone.utc),
        "sleep": lambda seconds: None,
        "random": lambda: 0.0,
        "time_limits": TimeLimits(connect_seconds=1, silence_seconds=0.5, answer_seconds=1),
    }
    return DrChrono(url=url, **{**parts, **given})
