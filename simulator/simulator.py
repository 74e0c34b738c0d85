"""The simulator: a `Simulation` served over HTTP."""

from __future__ import annotations

import time
from functools import cache
from types import TracebackType
from typing import Protocol, Self

from simulator.api.router import endpoint
from simulator.config import Config
from simulator.control import Control
from simulator.faults.responses import damaged, ids_in, replacement
from simulator.faults.rules import DAMAGING
from simulator.localtime import utc_text
from simulator.messages import NOT_FOUND, RefusedError, Request, Response, answer
from simulator.server import Server
from simulator.simulation import Simulation


class _Part(Protocol):
    def handle(self, request: Request) -> Response: ...


class Simulator(Simulation):
    """`with Simulator(Config(patients=50)) as sim:` serves at `sim.url` until the block ends.

    `start` binds the port and raises OSError if it is not available.
    """

    def __init__(self, config: Config | None = None) -> None:
        super().__init__(config)
        self._control = Control(self)
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """The origin, such as `http://127.0.0.1:8090`. Raises RuntimeError before `start`."""
        if self._server is None:
            raise RuntimeError("the simulator is not started")
        host = "127.0.0.1" if self.config.host in ("0.0.0.0", "") else self.config.host  # noqa: S104 - compared, not bound
        return f"http://{f'[{host}]' if ':' in host else host}:{self._server.server_port}"

    def start(self) -> Self:
        try:
            self._server = Server(self.config.host, self.config.port, self.handle)
        except OSError:
            self.stop()
            raise
        self._server.start()
        self.activity.set(self.config.activity)
        return self

    def stop(self) -> None:
        self.clock.close()
        if self._server is not None:
            self._server.stop()
        self.statistics.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def handle(self, request: Request) -> Response:
        """Answer one request, including injected faults, and count it. `/control` has neither."""
        if request.path.startswith("/control"):
            return _answer(self._control, request)
        began = time.perf_counter()
        real = cache(lambda: _answer(self._part(request), request))
        rule = self.faults.find(request, self.lists.locate(request), lambda: ids_in(real()))
        if rule is None:
            response = real()
        elif rule.fault == "then":
            response = real()
            self.act(rule.acts)
        elif rule.fault == "late_write":
            self.clock.at(self.clock.now() + rule.wait_seconds, lambda: _discard(real()))
            response = Response(status=0, wire="closed")
        elif rule.fault in DAMAGING:
            response = damaged(rule, request, real())
        else:
            response = replacement(rule, request, live=self.config.live)
        if response.status == 429:
            self.statistics.count("throttled")
        outcome = str(response.status) if response.wire == "whole" else response.wire
        self.statistics.seen(
            endpoint(request),
            outcome,
            at=utc_text(self.clock.now()),
            target=request.target,
            seconds=time.perf_counter() - began,
        )
        return response

    def _part(self, request: Request) -> _Part | None:
        if request.path.startswith("/api/"):
            return self.api
        return self.oauth if request.path.startswith("/o/") else None


def _discard(response: Response) -> None:
    """Nobody waits for it any more."""


def _answer(part: _Part | None, request: Request) -> Response:
    if part is None:
        return answer(404, NOT_FOUND)
    try:
        return part.handle(request)
    except RefusedError as refused:
        return refused.response
