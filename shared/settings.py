"""Settings: environment variables. Each function reads only its own, and reports all problems at once.

The names are the guide's (`GCP_PROJECT`, `DRCHRONO_*`). `shared.environment` reads single variables.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from shared.environment import Reader
from shared.log import SEVERITIES, Severity
from shared.rate_limit.windows import Window, parse_windows

Environment = Mapping[str, str]

# Six years with their leap days, as HIPAA asks for documentation (45 CFR 164.316(b)(2)): an example, and Terraform's
# default.
HISTORY_DAYS = 2192


@dataclass(frozen=True)
class CloudSettings:
    """Names of the project's resources. The three hosts are local emulators; None in the cloud.

    outbox_database: where other programs put their writes; the database of the records unless it has its own.
    """

    project: str
    topic: str
    token_secret: str
    database: str
    outbox_database: str
    firestore_host: str | None
    pubsub_host: str | None
    secret_manager_host: str | None


@dataclass(frozen=True)
class WebhookSettings:
    """secrets: one, or several during rotation. signature: `either`, `hmac` or `token`."""

    secrets: tuple[str, ...] = field(repr=False)
    signature: str
    handshake: bool


@dataclass(frozen=True)
class ApiSettings:
    """url: DrChrono's origin, without a path.

    Parts of the quota (0-1): background_share is open to background work, and pass_share to the daily passes over
    medications, problems and allergies.
    """

    url: str
    client_id: str
    client_secret: str = field(repr=False)
    quota: tuple[Window, ...]
    background_share: float
    pass_share: float


@dataclass(frozen=True)
class JobSettings:
    """deadline_seconds: how long one run may work; the next run continues. writes: whether other programs may create
    and change records in DrChrono.
    """

    deadline_seconds: int
    writes: bool


@dataclass(frozen=True)
class FeedSettings:
    """mode: `off`, `on`, or `all`, where the records of a first filling are announced as well. topic: its name.

    history_days: how long the earlier states of records are kept; None where they are not.
    """

    mode: str
    topic: str
    history_days: int | None


def log_level(environ: Environment) -> Severity:
    """Return LOG_LEVEL, the least severity that is written. An invalid value means INFO."""
    named = environ.get("LOG_LEVEL", "").strip().upper()
    return next((severity for severity in SEVERITIES if severity == named), "INFO")


def cloud_settings(environ: Environment) -> CloudSettings:
    """Raises SettingsError, like the other functions here."""
    read = Reader(environ)
    database = read.text("FIRESTORE_DATABASE", default="(default)")
    settings = CloudSettings(
        project=read.text("GCP_PROJECT", "GOOGLE_CLOUD_PROJECT", remedy="set it to the id of the Google Cloud project"),
        topic=read.text("EVENTS_TOPIC", default="drchrono-events"),
        token_secret=read.text("TOKEN_SECRET", default="drchrono-oauth-token"),
        database=database,
        outbox_database=read.text("OUTBOX_DATABASE", default=database),
        firestore_host=read.text("FIRESTORE_EMULATOR_HOST", default="") or None,
        pubsub_host=read.text("PUBSUB_EMULATOR_HOST", default="") or None,
        secret_manager_host=read.text("SECRET_MANAGER_EMULATOR_HOST", default="") or None,
    )
    read.finish()
    return settings


def webhook_settings(environ: Environment) -> WebhookSettings:
    read = Reader(environ)
    listed = read.text(
        "DRCHRONO_WEBHOOK_SECRET",
        remedy="set it to the secret token of the webhook in DrChrono's API console, "
        "or to two separated by a comma during rotation",
    )
    secrets = tuple(part.strip() for part in listed.split(",") if part.strip())
    if listed and not secrets:
        read.problems.append("DRCHRONO_WEBHOOK_SECRET holds only commas: set it to the webhook's secret token.")
    if any(not (secret.isascii() and secret.isprintable()) for secret in secrets):
        read.problems.append("DRCHRONO_WEBHOOK_SECRET must be printable ASCII, because an HTTP header carries it.")
    settings = WebhookSettings(
        secrets=secrets,
        signature=read.choice("DRCHRONO_WEBHOOK_SIGNATURE", ("either", "hmac", "token")),
        handshake=read.choice("DRCHRONO_WEBHOOK_HANDSHAKE", ("on", "off")) == "on",
    )
    read.finish()
    return settings


def api_settings(environ: Environment) -> ApiSettings:
    read = Reader(environ)
    url = read.text("DRCHRONO_URL", default="https://drchrono.com").rstrip("/")
    parts = urlsplit(url)
    loopback = parts.hostname in ("127.0.0.1", "localhost", "::1")
    if not parts.hostname or parts.path or parts.query or not (parts.scheme == "https" or loopback):
        read.problems.append("DRCHRONO_URL must be an origin such as https://drchrono.com, without a path.")
    written = read.text("DRCHRONO_QUOTA", default="100/minute")
    quota: tuple[Window, ...] = ()
    try:
        quota = parse_windows(written)
    except ValueError as problem:
        read.problems.append(f"DRCHRONO_QUOTA {problem}: write it like 100/minute or 10/second,500/hour.")
    settings = ApiSettings(
        url=url,
        client_id=read.text("DRCHRONO_CLIENT_ID", remedy="copy it from the application in DrChrono's API console"),
        client_secret=read.text(
            "DRCHRONO_CLIENT_SECRET", remedy="copy it from the application in DrChrono's API console"
        ),
        quota=quota,
        background_share=read.number("DRCHRONO_BACKGROUND_SHARE", 0.8, 0.1, 1.0),
        pass_share=read.number("DRCHRONO_PASS_SHARE", 0.1, 0.001, 1.0),
    )
    if re.search(r"\s", settings.client_id + settings.client_secret):
        read.problems.append("DRCHRONO_CLIENT_ID and DRCHRONO_CLIENT_SECRET must not contain blanks: copy them again.")
    read.finish()
    return settings


def job_settings(environ: Environment) -> JobSettings:
    read = Reader(environ)
    settings = JobSettings(
        deadline_seconds=int(read.number("JOB_DEADLINE_SECONDS", 840, 10, 3500)),
        writes=writes(environ, read),
    )
    read.finish()
    return settings


def writes(environ: Environment, read: Reader | None = None) -> bool:
    """Return DRCHRONO_WRITES: whether anything is written to DrChrono, and the write scopes are requested."""
    return (read or Reader(environ)).choice("DRCHRONO_WRITES", ("off", "on")) == "on"


def feed_settings(environ: Environment) -> FeedSettings:
    read = Reader(environ)
    kept = read.text("DRCHRONO_HISTORY", default="off")
    settings = FeedSettings(
        mode=read.choice("DRCHRONO_FEED", ("off", "on", "all")),
        topic=read.text("FEED_TOPIC", default="drchrono-changes"),
        history_days=None if kept == "off" else int(read.number("DRCHRONO_HISTORY", HISTORY_DAYS, 1, 36_500)),
    )
    read.finish()
    return settings
