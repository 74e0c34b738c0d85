"""An instance of the system in its own process. A test controls it through a pipe and can kill it at a step."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from multiprocessing.connection import Connection
from pathlib import Path

import requests
from google.cloud import firestore

from shared.cloud.firestore import FirestoreDocuments
from shared.cloud.secret_manager import SecretVersions, connect
from shared.documents import Documents
from shared.errors import SyncError
from shared.settings import cloud_settings
from shared.tokens.endpoint import TokenEndpoint
from shared.tokens.refresher import TokenRefresher
from workstation.embedded_documents import EmbeddedDocuments


@dataclass(frozen=True)
class Services:
    """Addresses of the services. file: the embedded store; without it, documents are in the Firestore emulator.

    pace: divides all waiting times, for tests in which only the order matters.
    """

    drchrono_url: str
    secrets_address: str
    firestore_host: str | None = None
    project: str = "p"
    file: Path | None = None
    pace: float = 100

    def documents(self) -> Documents:
        if self.file is not None:
            return EmbeddedDocuments(self.file)
        assert self.firestore_host is not None
        os.environ["FIRESTORE_EMULATOR_HOST"] = self.firestore_host
        return FirestoreDocuments(firestore.Client(project=self.project))

    def token_refresher(
        self, *, clock_offset_seconds: Callable[[], float], owner: str, step: Callable[[str], None]
    ) -> TokenRefresher:
        """Return an instance whose clock differs from the machine's by `clock_offset_seconds`."""

        def now() -> datetime:
            return datetime.now(timezone.utc) + timedelta(seconds=clock_offset_seconds())

        environment = {"GCP_PROJECT": "p", "SECRET_MANAGER_EMULATOR_HOST": self.secrets_address}
        endpoint = TokenEndpoint(
            url=self.drchrono_url, client_id="simulator-client", client_secret="simulator-secret", now=now
        )
        return TokenRefresher(
            documents=self.documents(),
            secret=SecretVersions(connect(cloud_settings(environment)), project="p", secret="drchrono-oauth-token"),
            refresh=endpoint.refresh,
            now=now,
            sleep=lambda seconds: time.sleep(seconds / self.pace),
            random=lambda: 0.5,
            owner=owner,
            step=step,
        )


def serve(services: Services, pipe: Connection) -> None:
    """Answer commands `(offset_seconds, threads, crash_at)` with the outcome of each thread, until the pipe ends."""
    offset_seconds, crash_at = 0.0, ""

    def step(name: str) -> None:
        if name == crash_at:
            os.kill(os.getpid(), signal.SIGKILL)

    token_refresher = services.token_refresher(
        clock_offset_seconds=lambda: offset_seconds, owner=f"process-{os.getpid()}", step=step
    )
    while True:
        try:
            offset_seconds, threads, crash_at = pipe.recv()
        except EOFError:
            return
        with ThreadPoolExecutor(threads) as pool:
            pipe.send(
                [future.result() for future in [pool.submit(_use, token_refresher, services) for _ in range(threads)]]
            )


def _use(token_refresher: TokenRefresher, services: Services) -> str:
    """Send a request to DrChrono as the client does. Return `works`, or the reason why it failed."""
    try:
        access_token = token_refresher.current()
        if _status(services, access_token) == 401:
            return "works" if _status(services, token_refresher.rejected(access_token)) == 200 else "rejected twice"
    except SyncError as error:
        return error.reason
    return "works"


def _status(services: Services, access_token: str) -> int:
    with requests.Session() as session:
        session.trust_env = False
        headers = {"Authorization": f"Bearer {access_token}"}
        return session.get(f"{services.drchrono_url}/api/patients", headers=headers, timeout=10).status_code
