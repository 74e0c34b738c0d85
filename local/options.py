"""The options of a local run. The command line takes precedence over the environment, `.env` and the defaults."""

from __future__ import annotations

import argparse
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.emulators import EmulatorsMissing, Installed, find, free_port
from shared.errors import SettingsError
from shared.settings import api_settings, cloud_settings, feed_settings, job_settings, webhook_settings

ROOT = Path(__file__).resolve().parent.parent
BACKENDS = ("emulators", "embedded")
PROJECT = "drchrono-local"
KEPT = ROOT / ".local" / "drchrono"

# High enough for a backfill within seconds. The real limit in the guide is 100/minute.
LOCAL_QUOTA = "6000/minute"

# The ports, by name, and what listens on each.
PORTS = {
    "simulator": "the simulated DrChrono",
    "webhook": "receive_webhook",
    "store": "store_record",
    "jobs": "run_job",
    "secrets": "the Secret Manager stand-in",
    "firestore": "the Firestore emulator",
    "pubsub": "the Pub/Sub emulator",
    "redirect": "the authorization's redirect (simulator)",
    "console": "the operator's console",
}

# The simulator's default application. None of these values is secret.
SIMULATED = {
    "DRCHRONO_CLIENT_ID": "simulator-client",
    "DRCHRONO_CLIENT_SECRET": "simulator-secret",
    "DRCHRONO_WEBHOOK_SECRET": "webhook-secret",
    "DRCHRONO_WEBHOOK_SIGNATURE": "either",
    "DRCHRONO_WEBHOOK_HANDSHAKE": "on",
}


class Unusable(Exception):
    """The options cannot be used. The text is one line with the remedy."""


@dataclass(frozen=True)
class Options:
    """installed: the emulators; None in the embedded form. because: why the embedded form is used although it was not
    requested.

    settings: the variables of the three functions. url: the DrChrono that replaces the simulator, or None. folder: the
    place of the store, the token and the logs; None for a temporary folder. home: the folder in which `python -m ops …
    --local` finds this run.
    """

    command: str
    installed: Installed | None
    because: str
    form: str
    patients: int
    seed: int
    ports: Mapping[str, int]
    settings: Mapping[str, str]
    url: str | None
    folder: Path | None
    home: Path


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m local", description="The whole system on this machine, with a simulated DrChrono."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="run|demo|show")
    for name, about in (
        ("run", "start everything, show it at work, and stay up until Ctrl-C"),
        ("demo", "the same, but end: 0 if the copy equals the simulator's truth, else 1"),
    ):
        command = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        add = command.add_argument
        add("--backend", choices=BACKENDS, help="where records and events are stored (emulators if installed)")
        add("--form", choices=("guide", "live"), default="guide", help="how the simulator behaves (guide)")
        add("--patients", type=int, default=60, metavar="N", help="number of patients in the simulator (60)")
        add("--folder", type=Path, metavar="F", help="folder for data and logs (temporary, or .local/drchrono)")
        add("--home", type=Path, default=ROOT, help=argparse.SUPPRESS)  # for tests, beside a person's own run
        add("--seed", type=int, default=1, metavar="N", help="the same seed makes the same records (1)")
        ports = command.add_argument_group("ports (free ones)")
        for port, about_port in PORTS.items():
            ports.add_argument(f"--{port}-port", type=int, metavar="P", help=f"of {about_port}")
    show = commands.add_parser("show", help="print one document of a running embedded system")
    show.add_argument("path", help="such as patients/123")
    show.add_argument("--folder", type=Path, required=True, help="as `run` printed it")
    return parser


def read(asked: argparse.Namespace, environ: Mapping[str, str]) -> Options:
    """environ: `.env`, overridden by the environment. Raises Unusable and SettingsError."""
    if not 1 <= asked.patients <= 100_000:
        raise Unusable("--patients is a number from 1 to 100000")
    installed, because = _backend(asked.backend or environ.get("BACKEND", ""))
    ports = _ports({name: getattr(asked, f"{name}_port") for name in PORTS})
    url = environ.get("DRCHRONO_URL") or None
    if url is not None and asked.command == "demo":
        raise Unusable("demo compares with the simulator's truth: unset DRCHRONO_URL, or use `make run`")
    settings = _settings(environ, None if url else ports)
    return Options(
        command=asked.command,
        installed=installed,
        because=because,
        form=asked.form,
        patients=asked.patients,
        seed=asked.seed,
        ports=ports,
        settings=settings,
        url=url,
        # The next run needs the token and the records of another DrChrono again.
        folder=asked.folder or (KEPT if url else None),
        home=asked.home.resolve(),
    )


def _backend(wanted: str) -> tuple[Installed | None, str]:
    """Return the emulators, or None and why the embedded form is used although it was not requested."""
    if wanted not in ("", *BACKENDS):
        raise Unusable(f"BACKEND is one of {', '.join(BACKENDS)}; it is something else")
    if wanted == "embedded":
        return None, ""
    try:
        return find(), ""
    except EmulatorsMissing as missing:
        if wanted:
            raise Unusable(str(missing)) from None
        return None, str(missing).removesuffix(", or use BACKEND=embedded")


def _ports(given: Mapping[str, int | None]) -> dict[str, int]:
    for name, port in given.items():
        if port is not None and not _is_free(port):
            raise Unusable(
                f"port {port} is in use or not allowed: "
                f"choose another with --{name}-port, or leave it out for a free one"
            )
    taken = [port for port in given.values() if port is not None]
    if len(taken) != len(set(taken)):
        raise Unusable("two ports are the same: leave one out for a free one")
    return {name: port or free_port() for name, port in given.items()}


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do, so that a connection that is still closing does not count as in use.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            return False
    return port > 0


def _settings(environ: Mapping[str, str], simulated: Mapping[str, int] | None) -> dict[str, str]:
    """Return the functions' variables. simulated: the ports, if the simulator is used with its default application.

    Raises SettingsError.
    """
    settings = {name: value for name, value in environ.items() if name.startswith("DRCHRONO_")}
    settings["GCP_PROJECT"] = environ.get("GCP_PROJECT") or PROJECT
    settings.setdefault("DRCHRONO_FEED", "on")
    problems: list[str] = []
    if simulated is not None:
        settings |= {
            **SIMULATED,
            "DRCHRONO_URL": f"http://127.0.0.1:{simulated['simulator']}",
            "DRCHRONO_REDIRECT_URI": f"http://127.0.0.1:{simulated['redirect']}/callback",
        }
        settings.setdefault("DRCHRONO_QUOTA", LOCAL_QUOTA)
    else:
        # A random secret, with which nobody can sign. Without the real one, only the sync finds changes.
        settings.setdefault("DRCHRONO_WEBHOOK_SECRET", secrets.token_hex())
        if not settings.get("DRCHRONO_REDIRECT_URI"):
            problems.append("DRCHRONO_REDIRECT_URI is not set: register http://127.0.0.1:8765/callback with DrChrono.")
    for check in (webhook_settings, api_settings, cloud_settings, job_settings, feed_settings):
        try:
            check(settings)
        except SettingsError as error:
            problems += [problem for problem in error.problems if problem not in problems]
    if problems:
        raise SettingsError(problems)
    return settings
