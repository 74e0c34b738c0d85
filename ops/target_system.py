"""The system that a command works on: that of a project, or the one that `make run` runs on this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import requests

from ops.deployment import Deployment, Google, NotSeen
from shared.errors import SettingsError, SyncError
from shared.settings import ApiSettings, Environment, api_settings
from shared.wiring.once import Once
from shared.wiring.system import System

# `make run` writes it. Relative to the checkout, in which commands are started.
LOCAL_ENVIRONMENT = Path(".local/environment")

STAND_INS = ("FIRESTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST", "SECRET_MANAGER_EMULATOR_HOST")
CREDENTIALS = {"DRCHRONO_CLIENT_ID": "drchrono-client-id", "DRCHRONO_CLIENT_SECRET": "drchrono-client-secret"}

STORE_REMEDY = "check the project, your grants (roles/datastore.user) and the network"
LOGIN = "run `gcloud auth application-default login`"
SETTINGS = 'run `eval "$(terraform -chdir=terraform output -raw ops_environment)"` first'


class TargetNotFound(SyncError):
    """The text says which system is missing, and contains the remedy."""

    reason = "target_not_found"


@dataclass(frozen=True)
class TargetSystem:
    """name: for people. options: command-line options that select this system. folder: of the embedded store and queue.

    google: Google's APIs; None for local systems. deployment: None if it is unknown, for the reason in `unseen`.
    receiver: the URL of receive_webhook, if it was given on the command line.
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
        """How often the sync runs: as in terraform/scheduler.tf, or as the local run states it."""
        seconds = self.environ.get("SYNC_SECONDS", "")
        return f"every {seconds} seconds" if seconds else "every five minutes"

    def command(self, command: str) -> str:
        """Return the command line of a command on this system."""
        return f"python -m ops {command}{self.options}"

    @property
    def webhook_url(self) -> str:
        """The URL of receive_webhook; empty if unknown."""
        function = self.deployment.functions.get("receive_webhook") if self.deployment else None
        return self.receiver or (function.url if function else self.environ.get("WEBHOOK_URL", ""))


def local_target(file: Path = LOCAL_ENVIRONMENT) -> TargetSystem:
    """Raises TargetNotFound."""
    from workstation.dotenv import DotenvError, read
    from workstation.wiring import FOLDER, local_system

    try:
        found = read(file)
    except DotenvError as error:
        raise TargetNotFound(str(error)) from None
    if not found:
        raise TargetNotFound("nothing runs on this machine: start it with `make run`, and leave it running")
    # Google's clients read the addresses of emulators from the environment.
    os.environ.update({name: found[name] for name in STAND_INS if name in found})
    folder = Path(found[FOLDER]) if FOLDER in found else None
    return TargetSystem("this machine", " --local", found, local_system(found), folder=folder)


def project_target(named: str | None, environ: Environment) -> TargetSystem:
    """Return the system of project `named`, else of that of the environment or gcloud. Raises TargetNotFound."""
    options = f" --project {named}" if named else ""
    project = named or environ.get("GCP_PROJECT") or environ.get("GOOGLE_CLOUD_PROJECT") or None
    google, deployment, unseen = None, None, "stand-ins are in use, not a deployment"
    if not any(environ.get(name) for name in STAND_INS):
        session, default = _credentials()
        project = project or default
        google = Google(session, project or "")
    if project is None:
        raise TargetNotFound("no project is named: give --project, or set GCP_PROJECT")
    if google is not None:
        try:
            deployment, unseen = google.deployment(), ""
        except NotSeen as error:
            unseen = str(error)
    target = deployed_target(project, environ, deployment=deployment, unseen=unseen)
    return replace(target, options=options, google=google)


def deployed_target(
    project: str, environ: Environment, *, deployment: Deployment | None = None, unseen: str = ""
) -> TargetSystem:
    """Return the system with the settings of the deployment. Those of the environment take precedence."""
    settings = {**(deployment.environment if deployment else {}), **environ, "GCP_PROJECT": project}
    system = System(settings)
    system.api = Once(lambda: _api_settings(system, settings, deployment, unseen))
    return TargetSystem(project, "", settings, system, deployment=deployment, unseen=unseen)


def _credentials() -> tuple[requests.Session, str | None]:
    """Return a session with the operator's credentials, and gcloud's default project. Raises TargetNotFound."""
    import google.auth
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import AuthorizedSession

    try:
        credentials, project = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    except GoogleAuthError:
        raise TargetNotFound(f"there are no credentials for Google Cloud: {LOGIN}") from None
    return AuthorizedSession(credentials), project  # type: ignore[no-untyped-call]


def _api_settings(
    system: System, settings: Mapping[str, str], deployment: Deployment | None, unseen: str
) -> ApiSettings:
    """Return the settings. Credentials that the environment lacks come from Secret Manager. Raises SettingsError."""
    from shared.cloud.secret_manager import SecretVersions, connect

    if deployment is None and not settings.get("DRCHRONO_QUOTA"):
        # All instances count their requests in one document, so they must agree on the quota.
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
