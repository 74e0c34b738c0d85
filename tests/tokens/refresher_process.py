"""An instance of the system in a process of its own, which a test drives through a pipe and may let die at a step."""

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
class Place:
    """Where everything is. `file` is the embedded store; without it the documents are in the Firestore emulator.

    pace: how much faster than in earnest an instance waits for another, where only the order matters.
    """

    drchrono_url: str
    vault_address: str
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

    def token_refresher(self, *, ahead: Callable[[], float], owner: str, step: Callable[[str], None]) -> TokenRefresher:
        """`ahead`: by how many seconds this instance's clock is ahead of the machine's."""

        def now() -> datetime:
            return datetime.now(timezone.utc) + timedelta(seconds=ahead())

        environment = {"GCP_PROJECT": "p", "SECRET_MANAGER_EMULATOR_HOST": self.vault_address}
        endpoint = TokenEndpoint(
            url=self.drchrono_url, client_id="simulator-client", client_secret="simulator-secret", now=now
        )
        return TokenRefresher(
            documents=self.documents(),
            vault=SecretVersions(connect(cloud_settings(environment)), project="p", secret="drchrono-oauth-token"),
            refresh=endpoint.refresh,
            now=now,
            sleep=lambda seconds: time.sleep(seconds / self.pace),
            random=lambda: 0.5,
            owner=owner,
            step=step,
        )


def serve(place: Place, pipe: Connection) -> None:
    """Answer commands until the pipe ends: `(ahead_seconds, threads, die_at)`, answered by each thread's outcome."""
    ahead_seconds, die_at = 0.0, ""

    def step(name: str) -> None:
        if name == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    token_refresher = place.token_refresher(ahead=lambda: ahead_seconds, owner=f"process-{os.getpid()}", step=step)
    while True:
        try:
            ahead_seconds, threads, die_at = pipe.recv()
        except EOFError:
            return
        with ThreadPoolExecutor(threads) as pool:
            pipe.send(
                [future.result() for future in [pool.submit(_use, token_refresher, place) for _ in range(threads)]]
            )


def _use(token_refresher: TokenRefresher, place: Place) -> str:
    """A request to DrChrono as the client makes it: `works`, or the reason why not."""
    try:
        access_token = token_refresher.current()
        if _status(place, access_token) == 401:
            return "works" if _status(place, token_refresher.rejected(access_token)) == 200 else "rejected twice"
    except SyncError as error:
        return error.reason
    return "works"


def _status(place: Place, access_token: str) -> int:
    with requests.Session() as session:
        session.trust_env = False
        headers = {"Authorization": f"Bearer {access_token}"}
        return session.get(f"{place.drchrono_url}/api/patients", headers=headers, timeout=10).status_code
