"""A complete local system for the commands, as `make run` leaves it: simulator, secrets, store, queue, receiver."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import flask
import pytest
from typer.testing import CliRunner, Result
from werkzeug.serving import make_server

import functions.receive_webhook as function
from local.emulators import Emulators, free_port
from local.secret_manager import SecretManagerStandIn
from ops.cli import app
from shared.jobs import backfill
from shared.jobs.run import Run
from shared.jobs.sync import sync
from shared.settings import webhook_settings
from shared.tokens.token import Granted
from shared.wiring.system import System
from simulator import Config, Simulator
from workstation.wiring import local_system, queue

WEBHOOK_SECRET = "the-webhook-secret"


@dataclass
class Practice:
    """The local system that `--local` finds: `.local/environment` is in the working directory of the tests."""

    folder: Path
    simulator: Simulator
    secrets: SecretManagerStandIn
    environment: dict[str, str]
    runner: CliRunner = field(default_factory=CliRunner)

    def __post_init__(self) -> None:
        self.write()

    def write(self, **changes: str) -> None:
        """Write the file that commands read, and rebuild the system."""
        self.environment |= changes
        file = self.folder / ".local" / "environment"
        file.parent.mkdir(exist_ok=True)
        file.write_text("".join(f"{name}={value}\n" for name, value in self.environment.items()))
        self.system: System = local_system(self.environment)

    def ops(self, *arguments: str, typed: str = "") -> Result:
        """Run a command as in a pipe."""
        return self.runner.invoke(app, [*arguments, "--local"], input=typed, prog_name="python -m ops")

    def authorize(self) -> None:
        """Store a token pair of the simulator, without the command."""
        issued = self.simulator.issue_token(" ".join(SCOPES))
        self.system.token_refresher().adopt(
            Granted(issued["access_token"], issued["refresh_token"], issued["expires_in"], issued["scope"])
        )

    def backfill(self) -> None:
        parts = self.system.parts()
        backfill.start(parts, backfill.KIND_NAMES, datetime(2009, 1, 1, tzinfo=timezone.utc).date())
        self.work(backfill.go_on)

    def work(self, job: Any = sync, seconds: float = 60) -> None:
        """Let a job run until its end, as Cloud Scheduler would."""
        parts = self.system.parts()
        deadline = parts.now() + timedelta(seconds=seconds)
        run = Run(parts, deadline)
        with run.hold(job.__name__) as lease:
            job(run)
            lease.report = {"stopped": None, "seconds": 1.5}


SCOPES = ("patients:read", "patients:write", "clinical:read", "calendar:read", "calendar:write", "user:read")


@pytest.fixture
def practice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Practice]:
    """In the embedded form."""
    monkeypatch.chdir(tmp_path)
    queue(tmp_path)
    yield from _practice(tmp_path, {"EMBEDDED_FOLDER": str(tmp_path)})


@pytest.fixture
def emulated(emulators: Emulators, project: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Practice]:
    """On Google's emulators."""
    from local.subscription import subscribe

    monkeypatch.chdir(tmp_path)
    subscribe(project, "drchrono-events", "http://127.0.0.1:9/")
    yield from _practice(tmp_path, {**emulators.environment, "GCP_PROJECT": project})


@pytest.fixture(params=["embedded", pytest.param("emulated", marks=pytest.mark.emulator)])
def either(request: pytest.FixtureRequest) -> Practice:
    """Each test that takes this runs on both forms."""
    name = {"embedded": "practice", "emulated": "emulated"}[request.param]
    return request.getfixturevalue(name)  # type: ignore[no-any-return]


def _practice(folder: Path, form: dict[str, str]) -> Iterator[Practice]:
    port = free_port()
    redirect_uri = f"http://127.0.0.1:{port}/callback"
    config = Config(patients=5, seed=7, redirect_uris=(redirect_uri,))
    with Simulator(config) as simulator, SecretManagerStandIn() as secrets, receiver() as webhook_url:
        project = form.get("GCP_PROJECT", "practice")
        secrets.secrets.create(f"projects/{project}/secrets/drchrono-oauth-token")
        yield Practice(
            folder,
            simulator,
            secrets,
            {
                "GCP_PROJECT": project,
                "SECRET_MANAGER_EMULATOR_HOST": secrets.address,
                "DRCHRONO_URL": simulator.url,
                "DRCHRONO_CLIENT_ID": "simulator-client",
                "DRCHRONO_CLIENT_SECRET": "simulator-secret",
                "DRCHRONO_REDIRECT_URI": redirect_uri,
                "DRCHRONO_WEBHOOK_SECRET": WEBHOOK_SECRET,
                "DRCHRONO_QUOTA": "6000/minute",
                "WEBHOOK_URL": webhook_url,
                **form,
            },
        )


class receiver:  # noqa: N801 (used as a function)
    """The receiver over HTTP. It discards what it publishes."""

    def __init__(self, secret: str = WEBHOOK_SECRET, signature: str = "either") -> None:
        settings = webhook_settings({"DRCHRONO_WEBHOOK_SECRET": secret, "DRCHRONO_WEBHOOK_SIGNATURE": signature})
        server = flask.Flask("receiver")

        @server.route("/", methods=["GET", "POST"])
        def receive() -> flask.Response:
            return function.handle(
                flask.request,
                settings=settings,
                publish=lambda data, attributes: None,
                now=lambda: datetime.now(timezone.utc),
            )

        self._server = make_server("127.0.0.1", 0, server, threaded=True)

    def __enter__(self) -> str:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_port}/"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
