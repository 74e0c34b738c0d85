"""Secret Manager: the versions of one secret.

What the service promises: a version that was added can be read by its number at once; everything else (`latest`, a
list, a destruction) shows within minutes. So versions are named by number here, and those beyond a list are tried.
(cloud.google.com/secret-manager/docs, "Resource consistency")

Nothing is repeated here: the caller knows how long it may wait.
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
ADD = "secretmanager.versions.add"
# The secrets of those who followed the guide by hand ("Token Management").
GUIDE_ACCESS_TOKEN = "drchrono-access-token"  # noqa: S105 (a name)
GUIDE_REFRESH_TOKEN = "drchrono-refresh-token"  # noqa: S105 (a name)


def connect(settings: CloudSettings) -> SecretManagerServiceClient:
    """The official client; it has no variable of its own for a stand-in, so the channel is led there."""
    if settings.secret_manager_host is None:
        return SecretManagerServiceClient()
    channel = grpc.insecure_channel(settings.secret_manager_host)
    return SecretManagerServiceClient(transport=SecretManagerServiceGrpcTransport(channel=channel))


class _Refused(TokenUnavailable):
    """Permission denied, or no such secret: the service does not tell strangers which."""


class SecretVersions:
    """The versions of `projects/{project}/secrets/{secret}`. Every method may raise TokenUnavailable."""

    def __init__(self, client: SecretManagerServiceClient, *, project: str, secret: str) -> None:
        self._client = client
        self._secret = secret
        self._name = f"projects/{project}/secrets/{secret}"

    def read(self, number: int) -> str | None:
        """The payload of that version; None where there is none, or it is disabled or destroyed."""
        return self._access(str(number))

    def latest(self) -> str | None:
        """The newest payload, as `latest` shows it: it may lag by minutes.

        None, too, where reading is not allowed: the service says so of secrets that do not exist.
        """
        try:
            return self._access("latest")
        except _Refused:
            return None

    def newer(self, number: int) -> Iterator[tuple[int, str]]:
        """Number and payload of each readable version after `number`, oldest first."""
        states = {known: state for known, state in self._states().items() if known > number}
        for known in sorted(states):
            payload = self.read(known) if states[known] == SecretVersion.State.ENABLED else None
            if payload is not None:
                yield known, payload
        # The list may not show the last ones yet; numbers follow one another without gaps.
        following = max(states, default=number) + 1
        while (payload := self.read(following)) is not None:
            yield following, payload
            following += 1

    def add(self, payload: str) -> int:
        """Add a version and return its number. After an error it may have been added all the same."""
        with self._translated():
            version = self._client.add_secret_version(
                parent=self._name, payload=SecretPayload(data=payload.encode()), retry=None, timeout=CALL_SECONDS
            )
        return int(version.name.rsplit("/", 1)[1])

    def destroy_before(self, number: int) -> None:
        """Destroy every version before `number` that still holds its payload."""
        for known, state in self._states().items():
            if known < number and state != SecretVersion.State.DESTROYED:
                # The list may be older than another instance's destroying, or that is set to come into force later.
                with self._translated(), suppress(FailedPrecondition, NotFound):
                    name = f"{self._name}/versions/{known}"
                    self._client.destroy_secret_version(name=name, retry=None, timeout=CALL_SECONDS)

    def writable(self) -> bool:
        """Whether versions may be added, asked without adding one. False, too, where there is no such secret."""
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

    def _states(self) -> dict[int, SecretVersion.State]:
        with self._translated():
            versions = self._client.list_secret_versions(parent=self._name, retry=None, timeout=CALL_SECONDS)
            return {int(version.name.rsplit("/", 1)[1]): version.state for version in versions}

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Google's errors as ours, without their texts and frames: a request that failed may have held the payload."""
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


def by_hand(client: SecretManagerServiceClient, project: str) -> tuple[str, str] | None:
    """Access and refresh token of the guide's two secrets, or None where there is no refresh token in them."""
    access_token, refresh_token = (
        SecretVersions(client, project=project, secret=secret).latest()
        for secret in (GUIDE_ACCESS_TOKEN, GUIDE_REFRESH_TOKEN)
    )
    return ((access_token or "").strip(), refresh_token.strip()) if refresh_token else None
