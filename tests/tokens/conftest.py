"""One practice for the token tests: the simulator's token endpoint, the stand-in for Secret Manager, and a store.

All instances and the simulator share one virtual clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import pytest

from local.secret_manager import SecretManagerStandIn
from shared.cloud.secret_manager import SecretVersions, connect, legacy_tokens
from shared.documents import Data, Documents
from shared.settings import cloud_settings
from shared.tokens.endpoint import TokenEndpoint
from shared.tokens.refresher import TokenRefresher
from shared.tokens.token import Granted
from simulator import Config, Simulator

SECRET = "projects/p/secrets/drchrono-oauth-token"
STATE = "sync_state/token"

HALF = 86_400 + 1  # of a live token's two days


@dataclass
class World:
    """One practice: DrChrono, its secrets, its documents. `steps` collects the completed steps of all instances."""

    sim: Simulator
    stand_in: SecretManagerStandIn
    documents: Documents
    steps: list[str] = field(default_factory=list)
    owners: int = 0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.sim.clock.now(), timezone.utc)

    def advance(self, seconds: float) -> None:
        self.sim.clock.advance(seconds)

    def endpoint(self) -> TokenEndpoint:
        return TokenEndpoint(
            url=self.sim.url, client_id="simulator-client", client_secret="simulator-secret", now=self.now
        )

    def instance(self, **changes: Any) -> TokenRefresher:
        """Return a new instance of the system with an empty memory."""
        self.owners += 1
        client = connect(
            cloud_settings({"GCP_PROJECT": "p", "SECRET_MANAGER_EMULATOR_HOST": self.stand_in.address}),
        )
        parts: dict[str, Any] = {
            "documents": self.documents,
            "secret": SecretVersions(client, project="p", secret="drchrono-oauth-token"),
            "refresh": self.endpoint().refresh,
            "now": self.now,
            "sleep": self.advance,
            "random": lambda: 0.5,
            "owner": f"instance-{self.owners}",
            "legacy_tokens": lambda: legacy_tokens(client, "p"),
            "step": self.steps.append,
        }
        return TokenRefresher(**{**parts, **changes})

    def authorize(self) -> str:
        """Authorize as `ops authorize` does, and return the access token."""
        code = self.sim.tokens.new_code("http://127.0.0.1:8765/callback", "patients:read user:read")
        granted = self.endpoint().exchange(code, "http://127.0.0.1:8765/callback")
        assert isinstance(granted, Granted)
        self.instance().adopt(granted)
        return granted.access_token

    def works(self, access_token: str) -> bool:
        return self.sim.tokens.find_valid(access_token) is not None

    def state(self) -> Data:
        data = self.documents.get(STATE)
        assert data is not None
        return data

    def edit(self, **fields: Any) -> None:
        self.documents.transact(lambda transaction: transaction.update(STATE, fields))

    def count(self, name: str) -> int:
        return int(self.sim.stats()["tokens"][name])

    def readable(self) -> list[int]:
        """Return the numbers of the versions that hold a payload."""
        return sorted(number for number, version in self.stand_in.secrets.shown(SECRET) if version.payload is not None)

    def fail_tokens(self, *faults: str) -> None:
        self.sim.faults.set(
            [{"match": {"path": "/o/token"}, "fault": fault, "times": 1} for fault in faults], replace=True
        )


@contextmanager
def practice(documents: Documents, grace_seconds: float = 0) -> Iterator[World]:
    config = Config(patients=0, form="live", clock="virtual", grace_seconds=grace_seconds)
    with Simulator(config) as sim, SecretManagerStandIn() as stand_in:
        stand_in.secrets.create(SECRET)
        yield World(sim, stand_in, documents)


@pytest.fixture
def world(documents: Documents) -> Iterator[World]:
    with practice(documents) as made:
        yield made


@pytest.fixture
def lenient(documents: Documents) -> Iterator[World]:
    """A DrChrono with a grace period, in which it accepts a spent refresh token again."""
    with practice(documents, grace_seconds=600) as made:
        yield made
