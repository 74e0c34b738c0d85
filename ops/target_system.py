"""Which system a command works on: a project's, or the one that `make run` keeps up on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import requests

from main import Once, System
from ops.deployment import Deployment, Google, NotSeen
from shared.errors import SettingsError, SyncError
from shared.settings import ApiSettings, Environment, api_settings

# Written by `make run`, in the folder that commands are called from: the checkout.
LOCAL_ENVIRONMENT = Path(".local/environment")

STAND_INS = ("FIRESTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST", "SECRET_MANAGER_EMULATOR_HOST")
CREDENTIALS = {"DRCHRONO_CLIENT_ID": "drchrono-client-id", "DRCHRONO_CLIENT_SECRET": "drchrono-client-secret"}

STORE_REMEDY = "check the project, your grants (roles/datastore.user) and the network"
LOGIN = "run `gcloud auth application-default login`"
SETTINGS = 'run `eval "$(terraform -chdir=terraform output -raw ops_environment)"` first'


class NoSuchPlace(SyncError):
    """Says which system was meant, and what to do so that it is found."""

    reason = "no_such_place"


@dataclass(frozen=True)
class TargetSystem:
    """name: for people. options: what leads a command here again. folder: the embedded store and queue, if any.

    google: None where no Google is involved. deployment: what it has shown, None where it has not: `unseen` says why.
    receiver: receive_webhook's URL, if a person gave it.
    """

    name: str
    options: str
    environ: Environment
    system: System
    folder: Path | None = None
    google: Google | None = None
    deployment: Deployment | None = None
    unseen: str = ""
    receiver: str = ""

    @property
    def sync_pause(self) -> str:
        """How often the sync runs (terraform/scheduler.tf; a local run says it by itself)."""
        seconds = self.environ.get("SYNC_SECONDS", "")
        return f"every {seconds} seconds" if seconds else "every five minutes"

    def command(self, command: str) -> str:
        """As to be typed."""
        return f"python -m ops {command}{self.options}"

    @property
    def webhook_url(self) -> str:
        """Of receive_webhook; empty where it is not known."""
        function = self.deployment.functions.get("receive_webhook") if self.deployment else None
        return self.receiver or (function.url if function else self.environ.get("WEBHOOK_URL", ""))


def local_target(file: Path = LOCAL_ENVIRONMENT) -> TargetSystem:
    """Raises NoSuchPlace."""
    from workstation.dotenv import DotenvError, read
    from workstation.wiring import FOLDER, local_system

    try:
        found = read(file)
    except DotenvError as error:
        raise NoSuchPlace(str(error)) from None
    if not found:
        raise NoSuchPlace("nothing runs on this machine: start it with `make run`, and leave it running")
    # Google's clients look for the stand-ins here.
    os.environ.update({name: found[name] for name in STAND_INS if name in found})
    folder = Path(found[FOLDER]) if FOLDER in found else None
    return TargetSystem("this machine", " --local", found, local_system(found), folder=folder)


def project_target(named: str | None, environ: Environment) -> TargetSystem:
    """The project that was named, else that of the environment, else gcloud's. Raises NoSuchPlace."""
    options = f" --project {named}" if named else ""
    project = named or environ.get("GCP_PROJECT") or environ.get("GOOGLE_CLOUD_PROJECT") or None
    google, deployment, unseen = None, None, "stand-ins are in use, not a deployment"
    if not any(environ.get(name) for name in STAND_INS):
        session, default = _credentials()
        project = project or default
        google = Google(session, project or "")
    if project is None:
        raise NoSuchPlace("no project is named: give --project, or set GCP_PROJECT")
    if google is not None:
        try:
            deployment, unseen = google.deployment(), ""
        except NotSeen as error:
            unseen = str(error)
    target = deployed_place(project, environ, deployment=deployment, unseen=unseen)
    return replace(target, options=options, google=google)


def deployed_place(
    project: str, environ: Environment, *, deployment: Deployment | None = None, unseen: str = ""
) -> TargetSystem:
    """With the settings of the deployment, and those of the environment before them."""
    settings = {**(deployment.environment if deployment else {}), **environ, "GCP_PROJECT": project}
    system = System(settings)
    system.api = Once(lambda: _api_settings(system, settings, deployment, unseen))
    return TargetSystem(project, "", settings, system, deployment=deployment, unseen=unseen)


def _credentials() -> tuple[requests.Session, str | None]:
    """A session that carries the operator's credentials, and gcloud's default project. Raises NoSuchPlace."""
    import google.auth
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import AuthorizedSession

    try:
        credentials, project = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    except GoogleAuthError:
        raise NoSuchPlace(f"there are no credentials for Google Cloud: {LOGIN}") from None
    return AuthorizedSession(credentials), project  # type: ignore[no-untyped-call]


def _api_settings(
    system: System, settings: Mapping[str, str], deployment: Deployment | None, unseen: str
) -> ApiSettings:
    """With the credentials from Secret Manager where the environment has none. Raises SettingsError."""
    from shared.cloud.secret_manager import SecretVersions, connect

    if deployment is None and not settings.get("DRCHRONO_QUOTA"):
        # Another quota than the functions have would spoil the count that they share.
        raise SettingsError([f"The deployment's quota is not known ({unseen}): {SETTINGS}."])
    given = {name: settings[name] for name in CREDENTIALS if settings.get(name)}
    missing = {name: secret for name, secret in CREDENTIALS.items() if name not in given}
    client = connect(system.cloud()) if missing else None
    for name, secret in missing.items():
        assert client is not None  # noqa: S101 (there is something missing)
        deployed = (deployment.secrets if deployment else {}).get(name, "")
        versions = SecretVersions(client, project=settings["GCP_PROJECT"], secret=secret)
        number = deployed.rpartition("/")[2]
        value = versions.read(int(number)) if number.isdecimal() else versions.latest()
        if value:
            given[name] = value.strip()
    return api_settings({**settings, **given})
