"""The state and rules of the stand-in: secrets and their versions, permissions, lag and injected failures."""

from __future__ import annotations

import base64
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import grpc

LARGEST_PAYLOAD_BYTES = 64 * 1024  # cloud.google.com/secret-manager/quotas


class State(Enum):
    """The states of a version, named as in the API."""

    ENABLED = "ENABLED"
    DISABLED = "DISABLED"
    DESTROYED = "DESTROYED"


class RefusedError(Exception):
    """A call that the service rejects, with the gRPC status to answer."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass
class Version:
    payload: bytes | None
    state: State
    created_at: float


@dataclass
class Secrets:
    """All secrets by full name (`projects/p/secrets/s`).

    file: keeps the secrets across restarts, in plain text.
    lag_seconds: how long `latest` and lists omit a new version.
    denied: permissions that no caller has, such as `secretmanager.versions.add`.
    `lag_seconds` and `denied` may be changed at any time.
    """

    file: Path | None = None
    lag_seconds: float = 0.0
    denied: set[str] = field(default_factory=set)
    now: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._faults: dict[str, list[grpc.StatusCode]] = {}
        self._secrets: dict[str, list[Version]] = {}
        if self.file is not None and self.file.exists():
            self._secrets = _loaded(json.loads(self.file.read_text()))

    def fail(self, method: str, code: grpc.StatusCode, times: int = 1) -> None:
        """Make the next calls of `method` (such as `AddSecretVersion`) fail with `code`. They have no effect."""
        with self._lock:
            self._faults.setdefault(method, []).extend([code] * times)

    def heal(self) -> None:
        """Drop all injected failures. Permissions stay as they are."""
        with self._lock:
            self._faults.clear()

    def check(self, method: str, permission: str) -> None:
        with self._lock:
            if self._faults.get(method):
                raise RefusedError(self._faults[method].pop(0), f"injected failure of {method}")
            if permission in self.denied:
                raise RefusedError(grpc.StatusCode.PERMISSION_DENIED, f"Permission '{permission}' denied")

    def allowed(self, secret: str, permissions: list[str]) -> list[str]:
        """Return which of `permissions` the caller has: none for a missing secret, as the service answers."""
        with self._lock:
            return [name for name in permissions if secret in self._secrets and name not in self.denied]

    def create(self, secret: str) -> None:
        with self._lock:
            if secret in self._secrets:
                raise RefusedError(grpc.StatusCode.ALREADY_EXISTS, f"Secret [{secret}] already exists.")
            self._secrets[secret] = []
            self._save()

    def add(self, secret: str, payload: bytes) -> int:
        with self._lock:
            versions = self._versions(secret)
            if len(payload) > LARGEST_PAYLOAD_BYTES:
                raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, "The payload is larger than 64 KiB.")
            versions.append(Version(payload, State.ENABLED, self.now()))
            self._save()
            return len(versions)

    def access(self, secret: str, name: str) -> tuple[int, bytes]:
        """Return number and payload of the version `name`, which is a number or `latest`."""
        with self._lock:
            number = self._number(secret, name)
            version = self._versions(secret)[number - 1]
            if version.payload is None or version.state is not State.ENABLED:
                full_name = f"Secret Version [{secret}/versions/{number}]"
                text = f"{full_name} is in {version.state.value} state."
                raise RefusedError(grpc.StatusCode.FAILED_PRECONDITION, text)
            return number, version.payload

    def look(self, secret: str, name: str) -> tuple[int, Version]:
        with self._lock:
            number = self._number(secret, name)
            return number, self._versions(secret)[number - 1]

    def shown(self, secret: str) -> list[tuple[int, Version]]:
        """Return the listed versions, newest first as in the API, without those that still lag."""
        with self._lock:
            visible = [pair for pair in enumerate(self._versions(secret), start=1) if self._is_shown(pair[1])]
            return visible[::-1]

    def change(self, secret: str, name: str, state: State) -> tuple[int, Version]:
        with self._lock:
            number = self._number(secret, name)
            version = self._versions(secret)[number - 1]
            if version.state is State.DESTROYED:
                raise RefusedError(grpc.StatusCode.FAILED_PRECONDITION, f"Version {number} is in DESTROYED state.")
            version.state = state
            if state is State.DESTROYED:
                version.payload = None
            self._save()
            return number, version

    def _versions(self, secret: str) -> list[Version]:
        if secret not in self._secrets:
            raise RefusedError(grpc.StatusCode.NOT_FOUND, f"Secret [{secret}] not found.")
        return self._secrets[secret]

    def _number(self, secret: str, name: str) -> int:
        versions = self._versions(secret)
        if name == "latest":
            number = max((number for number, _ in self.shown(secret)), default=0)
        else:
            number = int(name) if name.isdecimal() else 0
        if not 1 <= number <= len(versions):
            raise RefusedError(grpc.StatusCode.NOT_FOUND, f"Secret Version [{secret}/versions/{name}] not found.")
        return number

    def _is_shown(self, version: Version) -> bool:
        return self.now() - version.created_at >= self.lag_seconds

    def _save(self) -> None:
        """Replace the file atomically. Only its owner can read it."""
        if self.file is None:
            return
        written = self.file.with_name(self.file.name + ".new")
        with os.fdopen(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
            json.dump(_dumped(self._secrets), stream)
        written.replace(self.file)


def _dumped(secrets: dict[str, list[Version]]) -> dict[str, list[dict[str, Any]]]:
    return {
        secret: [
            {
                "payload": None if version.payload is None else base64.b64encode(version.payload).decode(),
                "state": version.state.value,
                "created_at": version.created_at,
            }
            for version in versions
        ]
        for secret, versions in secrets.items()
    }


def _loaded(stored: dict[str, list[dict[str, Any]]]) -> dict[str, list[Version]]:
    return {
        secret: [
            Version(
                payload=None if version["payload"] is None else base64.b64decode(version["payload"]),
                state=State(version["state"]),
                created_at=version["created_at"],
            )
            for version in versions
        ]
        for secret, versions in stored.items()
    }
