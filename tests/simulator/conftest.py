"""A caller and a webhook receiver for the tests of the simulator: real HTTP in both directions, no sleeps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

from simulator import Config, Simulator


class Caller:
    """An application that holds a token for a simulator."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.session = requests.Session()
        self.use(simulator.issue_token()["access_token"])

    def use(self, access_token: str) -> None:
        self.session.headers["Authorization"] = f"Bearer {access_token}"

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        url = path if path.startswith("http") else self.simulator.url + path
        options.setdefault("allow_redirects", False)
        return self.session.request(method, url, timeout=20, **options)

    def get(self, path: str, **query: Any) -> requests.Response:
        return self.call("GET", path, params=query)

    def control(self, method: str, path: str, **given: Any) -> Any:
        response = self.call(method, f"/control/{path}", json=given)
        assert response.status_code == 200, response.text
        return response.json()


def pages(caller: Caller, path: str, **query: Any) -> list[list[dict[str, Any]]]:
    """Return all pages of a list, following `next`."""
    found, url = [], f"{caller.simulator.url}{path}"
    while url:
        body = caller.get(url, **query).json()
        found.append(body["results"])
        url, query = body["next"], {}
    return found


def bulk(caller: Caller, path: str, **query: Any) -> list[dict[str, Any]]:
    """Return the results of a live bulk list's first page."""
    started = caller.call("POST", path, params=query)
    assert started.status_code == 201, started.text
    while (body := caller.get(path, uuid=started.json()["uuid"]).json())["status"] == "In progress":
        pass
    results: list[dict[str, Any]] = body["results"]
    return results


class Receiver:
    """A webhook receiver that records deliveries and answers with `status`, or with `handshake` to a GET."""

    def __init__(self) -> None:
        self.deliveries: list[tuple[dict[str, str], bytes]] = []
        self.asked: list[str] = []
        self.statuses: list[int] = []
        self.status = 204
        self.handshake = (200, b"{}")
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.deliveries.append(({name.lower(): text for name, text in self.headers.items()}, body))
                status = receiver.statuses.pop(0) if receiver.statuses else receiver.status
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", f"{receiver.url}/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self) -> None:
                receiver.asked.append(self.path)
                status, body = receiver.handshake
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128  # with the default of 5, a burst waits a second for a repeated SYN

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def events(self) -> list[str]:
        return [headers["x-drchrono-event"] for headers, _ in self.deliveries]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def simulate() -> Iterator[Callable[..., Caller]]:
    """Start simulators with ten patients and a virtual clock, and stop them after the test."""
    with ExitStack() as stack:

        def start(**settings: Any) -> Caller:
            config = Config(**{"patients": 10, "clock": "virtual", **settings})
            return Caller(stack.enter_context(Simulator(config)))

        yield start


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()
