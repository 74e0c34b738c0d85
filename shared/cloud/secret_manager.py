"""Secret Manager: the versions of one secret.

An added version can be read by its number immediately. Everything else (`latest`, lists, destruction) is eventually
consistent, within minutes (cloud.google.com/secret-manager/docs, "Resource consistency"). So this module reads
versions by number, and probes the numbers after the end of a list.

Lists are read newest first, which the API promises (`ListSecretVersionsResponse.versions`), and only as far as needed:
a secret keeps its destroyed versions for ever, and one refresh a day or an hour adds thousands of them.

No call is repeated here, because only the caller knows how long it may wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import grpc
from google.api_core.exceptions import FailedPrecondition, GoogleAPICallError, NotFound, PermissionDenied
from google.auth.exceptions import GoogleAuthError
from google.cloud.secretmanager_v1 import SecretManagerServiceClient, SecretPayload, SecretVersion
from google.cloud.secretmanager_v1.services.secret_manager_service.transports import SecretManagerServiceGrpcTransport

from shared.errors import TokenUnavailable
from shared.settings import CloudSettings

CALL_SECONDS = 5.0
PAGE_SIZE = 50
# A list is read until this many destroyed versions in a row: everything older was replaced before they were. Less than
# a page, so that one page is usually enough.
DESTROYED_IN_A_ROW = 40
ADD = "secretmanager.versions.add"
# The secrets of an integration that followed the guide ("Token Management").
GUIDE_ACCESS_TOKEN = "drchrono-access-token"  # noqa: S105 (a name)
GUIDE_REFRESH_TOKEN = "drchrono-refresh-token"  # noqa: S105 (a name)


def connect(settings: CloudSettings) -> SecretManagerServiceClient:
    """Return the official client. It has no emulator variable of its own, so a stand-in needs an explicit channel."""
    if settings.secret_manager_host is None:
        return SecretManagerServiceClient()
    channel = grpc.insecure_channel(settings.secret_manager_host)
    return SecretManagerServiceClient(transport=SecretManagerServiceGrpcTransport(channel=channel))


class _Refused(TokenUnavailable):
    """Permission denied, or no such secret: without permissions, the service does not say which."""


class SecretVersions:
    """The versions of `projects/{project}/secrets/{secret}`. Every method may raise TokenUnavailable."""

    def __init__(self, client: SecretManagerServiceClient, *, project: str, secret: str) -> None:
        self._client = client
        self._secret = secret
        self._name = f"projects/{project}/secrets/{secret}"

    def read(self, number: int) -> str | None:
        """Return the payload of version `number`; None if it does not exist, or is disabled or destroyed."""
        return self._access(str(number))

    def latest(self) -> str | None:
        """Return the payload of `latest`, which may lag by minutes; None if there is none, or reading is not allowed.

        The service answers "permission denied" for secrets that do not exist.
        """
        try:
            return self._access("latest")
        except _Refused:
            return None

    def newer(self, number: int) -> Iterator[tuple[int, str]]:
        """Yield number and payload of each readable version after `number`, oldest first."""
        states: dict[int, SecretVersion.State] = {}
        for known, state in self._listed():
            if known < number:
                break
            states[known] = state
        states.pop(number, None)
        for known in sorted(states):
            payload = self.read(known) if states[known] == SecretVersion.State.ENABLED else None
            if payload is not None:
                yield known, payload
        # The list may not show the newest versions yet. Numbers have no gaps.
        following = max(states, default=number) + 1
        while (payload := self.read(following)) is not None:
            yield following, payload
            following += 1

    def add(self, payload: str) -> int:
        """Add a version and return its number. After an error, the version may exist nevertheless."""
        with self._translated():
            version = self._client.add_secret_version(
                parent=self._name, payload=SecretPayload(data=payload.encode()), retry=None, timeout=CALL_SECONDS
            )
        return int(version.name.rsplit("/", 1)[1])

    def destroy_before(self, number: int) -> None:
        """Destroy the versions before `number` that still hold a payload, newest first.

        A version that cannot be destroyed is tried again after each refresh, until DESTROYED_IN_A_ROW newer ones are
        destroyed.
        """
        for known, state in self._listed():
            if known < number and state != SecretVersion.State.DESTROYED:
                self._destroy(known)

    def writable(self) -> bool:
        """Return whether this account may add versions. Adds none. False as well if the secret does not exist."""
        request = {"resource": self._name, "permissions": [ADD]}
        with self._translated():
            answer = self._client.test_iam_permissions(request=request, retry=None, timeout=CALL_SECONDS)
        return ADD in answer.permissions

    def _access(self, version: str) -> str | None:
        name = f"{self._name}/versions/{version}"
        with self._translated():
            try:
                answer = self._client.access_secret_version(name=name, retry=None, timeout=CALL_SECONDS)
                return answer.payload.data.decode()
            except (NotFound, FailedPrecondition):
                return None
            except UnicodeDecodeError:
                return None

    def _destroy(self, number: int) -> None:
        # Another instance may have destroyed it already, or the secret may delay destruction.
        with self._translated(), suppress(FailedPrecondition, NotFound):
            name = f"{self._name}/versions/{number}"
            self._client.destroy_secret_version(name=name, retry=None, timeout=CALL_SECONDS)

    def _listed(self) -> Iterator[tuple[int, SecretVersion.State]]:
        """Yield number and state of the versions, newest first, up to DESTROYED_IN_A_ROW."""
        in_a_row = 0
        with self._translated():
            request = {"parent": self._name, "page_size": PAGE_SIZE}
            for version in self._client.list_secret_versions(request=request, retry=None, timeout=CALL_SECONDS):
                yield int(version.name.rsplit("/", 1)[1]), version.state
                in_a_row = in_a_row + 1 if version.state == SecretVersion.State.DESTROYED else 0
                if in_a_row == DESTROYED_IN_A_ROW:
                    return

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Translate Google's errors without their texts and frames, because a failed request may hold the payload."""
        try:
            yield
        except PermissionDenied:
            raise _Refused(
                f"Secret Manager refused access to {self._secret}: grant this service account "
                "roles/secretmanager.secretAccessor and roles/secretmanager.secretVersionManager on it"
            ) from None
        except NotFound:
            raise TokenUnavailable(f"there is no secret {self._secret}: create it (terraform apply)") from None
        except (GoogleAPICallError, GoogleAuthError) as error:
            raise TokenUnavailable(f"Secret Manager ({self._secret}): {type(error).__name__}") from None


def legacy_tokens(client: SecretManagerServiceClient, project: str) -> tuple[str, str] | None:
    """Return access and refresh token from the guide's two secrets, or None if there is no refresh token."""
    access_token, refresh_token = (
        SecretVersions(client, project=project, secret=secret).latest()
        for secret in (GUIDE_ACCESS_TOKEN, GUIDE_REFRESH_TOKEN)
    )
    return ((access_token or "").strip(), refresh_token.strip()) if refresh_token else None
