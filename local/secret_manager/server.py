"""The gRPC server of the stand-in: the methods of `google.cloud.secretmanager.v1.SecretManagerService` in use."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Self

import grpc
from google.cloud import secretmanager_v1 as api
from google.iam.v1 import iam_policy_pb2  # type: ignore[import-untyped]  # the package ships no types

from local.secret_manager.secrets import RefusedError, Secrets, State, Version

SERVICE = "google.cloud.secretmanager.v1.SecretManagerService"
WORKERS = 16  # threads: more than any test has concurrent callers
LARGEST_PAGE = 25_000  # of a list; the default as well (cloud.google.com/secret-manager/docs/reference/rest)
STOP_SECONDS = 1.0


class SecretManagerStandIn:
    """`with SecretManagerStandIn() as stand_in:` serves at `stand_in.address` (`127.0.0.1:port`) until the block ends.

    `stand_in.secrets` holds its state and controls its behaviour. Raises OSError if the port is in use.
    """

    def __init__(self, *, port: int = 0, file: Path | None = None, lag_seconds: float = 0.0) -> None:
        self.secrets = Secrets(file=file, lag_seconds=lag_seconds)
        self._server = grpc.server(
            ThreadPoolExecutor(WORKERS, thread_name_prefix="secret-manager"),
            # Without this, two stand-ins could share one port, and each would get half of the calls.
            options=[("grpc.so_reuseport", 0)],
        )
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, _handlers(self.secrets)),))
        try:
            self._port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        except RuntimeError:
            raise OSError(f"port {port} is in use") from None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(STOP_SECONDS).wait()


def _handlers(secrets: Secrets) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
    calls = _Calls(secrets)
    return {
        "CreateSecret": _handler(calls.create, api.CreateSecretRequest, api.Secret),
        "AddSecretVersion": _handler(calls.add, api.AddSecretVersionRequest, api.SecretVersion),
        "AccessSecretVersion": _handler(calls.access, api.AccessSecretVersionRequest, api.AccessSecretVersionResponse),
        "GetSecretVersion": _handler(calls.get, api.GetSecretVersionRequest, api.SecretVersion),
        "ListSecretVersions": _handler(calls.list, api.ListSecretVersionsRequest, api.ListSecretVersionsResponse),
        "EnableSecretVersion": _handler(calls.enable, api.EnableSecretVersionRequest, api.SecretVersion),
        "DisableSecretVersion": _handler(calls.disable, api.DisableSecretVersionRequest, api.SecretVersion),
        "DestroySecretVersion": _handler(calls.destroy, api.DestroySecretVersionRequest, api.SecretVersion),
        "TestIamPermissions": grpc.unary_unary_rpc_method_handler(
            _answered(calls.permissions),
            iam_policy_pb2.TestIamPermissionsRequest.FromString,
            iam_policy_pb2.TestIamPermissionsResponse.SerializeToString,
        ),
    }


def _handler(call: Callable[[Any], Any], request: Any, answer: Any) -> grpc.RpcMethodHandler[Any, Any]:
    return grpc.unary_unary_rpc_method_handler(_answered(call), request.deserialize, answer.serialize)


def _answered(call: Callable[[Any], Any]) -> Callable[[Any, grpc.ServicerContext], Any]:
    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return call(request)
        except RefusedError as refused:
            context.abort(refused.code, str(refused))

    return answer


class _Calls:
    """The API's methods. Each checks the permission that the service requires for it."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def create(self, request: api.CreateSecretRequest) -> api.Secret:
        self._secrets.check("CreateSecret", "secretmanager.secrets.create")
        name = f"{request.parent}/secrets/{request.secret_id}"
        self._secrets.create(name)
        return api.Secret(name=name)

    def add(self, request: api.AddSecretVersionRequest) -> api.SecretVersion:
        self._secrets.check("AddSecretVersion", "secretmanager.versions.add")
        number = self._secrets.add(request.parent, request.payload.data)
        return _shown(request.parent, *self._secrets.look(request.parent, str(number)))

    def access(self, request: api.AccessSecretVersionRequest) -> api.AccessSecretVersionResponse:
        self._secrets.check("AccessSecretVersion", "secretmanager.versions.access")
        secret, name = _split(request.name)
        number, payload = self._secrets.access(secret, name)
        return api.AccessSecretVersionResponse(name=f"{secret}/versions/{number}", payload={"data": payload})

    def get(self, request: api.GetSecretVersionRequest) -> api.SecretVersion:
        self._secrets.check("GetSecretVersion", "secretmanager.versions.get")
        secret, name = _split(request.name)
        return _shown(secret, *self._secrets.look(secret, name))

    def list(self, request: api.ListSecretVersionsRequest) -> api.ListSecretVersionsResponse:
        self._secrets.check("ListSecretVersions", "secretmanager.versions.list")
        versions = self._secrets.shown(request.parent)
        begin = int(request.page_token or 0)
        end = begin + min(request.page_size or LARGEST_PAGE, LARGEST_PAGE)
        return api.ListSecretVersionsResponse(
            versions=[_shown(request.parent, *pair) for pair in versions[begin:end]],
            next_page_token=str(end) if end < len(versions) else "",
            total_size=len(versions),
        )

    def enable(self, request: api.EnableSecretVersionRequest) -> api.SecretVersion:
        return self._changed("EnableSecretVersion", "enable", request.name, State.ENABLED)

    def disable(self, request: api.DisableSecretVersionRequest) -> api.SecretVersion:
        return self._changed("DisableSecretVersion", "disable", request.name, State.DISABLED)

    def destroy(self, request: api.DestroySecretVersionRequest) -> api.SecretVersion:
        return self._changed("DestroySecretVersion", "destroy", request.name, State.DESTROYED)

    def permissions(self, request: Any) -> Any:
        self._secrets.check("TestIamPermissions", "")
        allowed = self._secrets.allowed(request.resource, list(request.permissions))
        return iam_policy_pb2.TestIamPermissionsResponse(permissions=allowed)

    def _changed(self, method: str, verb: str, name: str, state: State) -> api.SecretVersion:
        self._secrets.check(method, f"secretmanager.versions.{verb}")
        secret, version = _split(name)
        return _shown(secret, *self._secrets.change(secret, version, state))


def _split(name: str) -> tuple[str, str]:
    """Split `projects/p/secrets/s/versions/7` into the secret's name and the version."""
    secret, found, version = name.rpartition("/versions/")
    if not found:
        raise RefusedError(grpc.StatusCode.INVALID_ARGUMENT, "The name is not the name of a secret version.")
    return secret, version


def _shown(secret: str, number: int, version: Version) -> api.SecretVersion:
    return api.SecretVersion(
        name=f"{secret}/versions/{number}",
        state=version.state.value,
        create_time=datetime.fromtimestamp(version.created_at, timezone.utc),
    )
