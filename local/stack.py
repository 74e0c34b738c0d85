"""The processes of the local system, and the environment of each."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from local.emulators import firestore_command, pubsub_command
from local.options import ROOT, Options
from local.processes import Program
from workstation.wiring import CONSOLE_KEY, FOLDER

# As in the cloud (terraform/functions.tf): how many requests an instance of the function serves at once.
THREADS = {"receive_webhook": 20, "store_record": 8, "run_job": 1}
PORT_OF = {"receive_webhook": "webhook", "store_record": "store", "run_job": "jobs"}


def url(options: Options, port: str) -> str:
    return f"http://127.0.0.1:{options.ports[port]}"


def environment(options: Options, folder: Path) -> dict[str, str]:
    """Return the variables that the three functions, and programs that read their store, need in addition."""
    variables = {**options.settings, "SECRET_MANAGER_EMULATOR_HOST": f"127.0.0.1:{options.ports['secrets']}"}
    if options.installed is None:
        return variables | {FOLDER: str(folder)}
    return variables | {
        "FIRESTORE_EMULATOR_HOST": f"127.0.0.1:{options.ports['firestore']}",
        "PUBSUB_EMULATOR_HOST": f"127.0.0.1:{options.ports['pubsub']}",
    }


def services(options: Options, folder: Path) -> list[Program]:
    """Return the programs that must run before the functions start."""
    programs = [_secret_manager(options, folder)]
    if options.url is None:
        programs.append(_simulator(options))
    if options.installed is not None:
        ports, installed = options.ports, options.installed
        programs += [
            Program(
                "Firestore emulator",
                firestore_command(installed, ports["firestore"]),
                ports["firestore"],
                inherited(),
            ),
            Program("Pub/Sub emulator", pubsub_command(installed, ports["pubsub"]), ports["pubsub"], inherited()),
        ]
    return programs


def functions(options: Options, folder: Path) -> list[Program]:
    """Return the three entry points, served as in the cloud: functions-framework on gunicorn, one worker, threads."""
    source = "local/embedded_main.py" if options.installed is None else "main.py"
    variables = environment(options, folder)
    programs = []
    for name, threads in THREADS.items():
        port = options.ports[PORT_OF[name]]
        command = [sys.executable, "-m", "functions_framework", "--source", source, "--target", name]
        command += ["--host", "127.0.0.1", "--port", str(port)]
        programs.append(Program(name, command, port, {**inherited(), **variables, "THREADS": str(threads)}))
    return programs


def console(options: Options, key: str) -> Program:
    """Return `python -m ops console --local`, which finds the run by itself. key: the key in the console's address."""
    port = options.ports["console"]
    command = [sys.executable, "-m", "ops", "console", "--local", "--port", str(port), "--no-browser"]
    variables = {**inherited(), CONSOLE_KEY: key, "PYTHONPATH": str(ROOT)}
    return Program("console", command, port, variables, folder=options.home)


def _simulator(options: Options) -> Program:
    command = [sys.executable, "-m", "simulator", "--port", str(options.ports["simulator"])]
    command += ["--form", options.form, "--patients", str(options.patients), "--seed", str(options.seed)]
    # Bulk lists are ready at the first poll, so that a local run does not wait for them.
    command += ["--polls", "0"]
    command += ["--quota", options.settings["DRCHRONO_QUOTA"], "--webhook-url", url(options, "webhook")]
    command += ["--redirect-uri", options.settings["DRCHRONO_REDIRECT_URI"]]
    return Program("DrChrono simulator", command, options.ports["simulator"], inherited())


def _secret_manager(options: Options, folder: Path) -> Program:
    port = options.ports["secrets"]
    command = [sys.executable, "-m", "local.secret_manager", "--port", str(port)]
    command += ["--file", str(folder / "secrets.json")]
    return Program("Secret Manager stand-in", command, port, inherited())


def inherited() -> Mapping[str, str]:
    """Return this process's environment without settings for another DrChrono or for other emulators."""
    foreign = ("DRCHRONO_", "GCP_PROJECT", "GOOGLE_CLOUD_PROJECT", "GOOGLE_APPLICATION_CREDENTIALS")
    hosts = ("FIRESTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST", "SECRET_MANAGER_EMULATOR_HOST")
    names = ("FIRESTORE_DATABASE", "EVENTS_TOPIC", "FEED_TOPIC", "TOKEN_SECRET", "WORKERS", "THREADS", FOLDER)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {
        **{name: value for name, value in kept.items() if name not in (*hosts, *names)},
        "PYTHONUNBUFFERED": "1",
    }
