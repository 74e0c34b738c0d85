"""The simulator without a socket, as a session of `requests`: on the way there and back, things go wrong by a seed."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self, cast
from urllib.parse import parse_qsl, urlsplit

import requests
from urllib3.exceptions import NewConnectionError

from simulator import Simulator
from simulator.messages import Request
from tests.model.scheduler import Scheduler
from tests.mortal import Killed

# DrChrono acts on a request at most so long after it was sent (`shared.outbox.transitions.ACTED_WITHIN` less the way).
LATEST_ACT_SECONDS = 110.0

REFUSED: dict[str, dict[str, Any]] = {
    "429": {"fault": "429", "retry_after": 20},
    "401": {"fault": "401"},
    "500": {"fault": "500"},
    "502": {"fault": "502"},
    "503": {"fault": "503"},
    "html": {"fault": "html"},
}


class Raw(io.BytesIO):
    def read1(self, size: int | None = -1, /, decode_content: bool = False) -> bytes:
        return super().read1(size)


@dataclass
class Answer:
    """What `shared.drchrono.wire` uses of a response."""

    status_code: int
    headers: Mapping[str, str]
    raw: Raw

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...


@dataclass
class Transport:
    """failures: the share of requests that go wrong. kills: the share of those at which the sender dies."""

    simulator: Simulator
    scheduler: Scheduler
    rng: random.Random
    failures: float
    kills: float
    trace: Callable[[str], None]

    def session(self) -> requests.Session:
        return cast(requests.Session, self)

    def request(self, method: str, url: str, *, data: bytes | None, headers: Mapping[str, str], **_: Any) -> Answer:
        parts = urlsplit(url)
        what = f"{method} {parts.path}"
        asked = Request(
            method=method,
            path=parts.path.rstrip("/"),
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in headers.items()},
            body=data or b"",
            origin=f"{parts.scheme}://{parts.netloc}",
            target=f"{parts.path}?{parts.query}",
        )
        wrong = self._wrong(writes=data is not None)
        if wrong == "not connected":
            self.trace(f"{what}: not connected")
            raise requests.ConnectionError(_Cause())
        self._wait()
        if wrong == "killed before":
            self.trace(f"{what}: killed before")
            raise Killed
        if wrong == "lost before":
            self.trace(f"{what}: lost before")
            raise requests.ConnectionError("reset")
        if wrong == "late":
            seconds = self.rng.uniform(1, LATEST_ACT_SECONDS)
            self.scheduler.at(self.scheduler.now + seconds, lambda: self._act(asked, what))
            self.trace(f"{what}: lost, and done in {seconds:.0f} s")
            raise requests.ConnectionError("reset")
        self.simulator.faults.set([{**REFUSED[wrong], "times": 1}] if wrong in REFUSED else [], replace=True)
        response = self._act(asked, what)
        self._wait()
        if wrong == "killed after":
            self.trace(f"{what}: killed after")
            raise Killed
        if wrong == "lost after":
            self.trace(f"{what}: lost after")
            raise requests.ConnectionError("reset")
        body = response.body[: len(response.body) // 2] if wrong == "broken" else response.body
        status = 502 if wrong == "502 after" else response.status
        return Answer(status, {"Content-Type": response.content_type, **dict(response.headers)}, Raw(body))

    def _act(self, asked: Request, what: str) -> Any:
        self.simulator.clock.advance(max(0.0, self.scheduler.now - self.simulator.clock.now()))
        response = self.simulator.handle(asked)
        self.trace(f"{what} {asked.query or ''} {asked.body.decode()}: {response.status}")
        return response

    def _wrong(self, *, writes: bool) -> str:
        if self.rng.random() >= self.failures:
            return ""
        if self.rng.random() < self.kills:
            return self.rng.choice(("killed before", "killed after"))
        after = ("lost after", "502 after", "broken", "late") if writes else ()
        return str(self.rng.choice(("not connected", "lost before", *REFUSED, *after, *after)))

    def _wait(self) -> None:
        slow = self.rng.random() < 0.05
        self.scheduler.wait(self.rng.uniform(1, 12) if slow else self.rng.uniform(0.05, 0.8))


class _Cause(Exception):
    """As `requests` wraps a connection that did not come about."""

    reason = NewConnectionError(cast(Any, None), "refused")
