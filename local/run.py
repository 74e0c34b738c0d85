"""`run` and `demo`: start the system, show how it works, and stop every process at the end."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from contextlib import ExitStack
from pathlib import Path

import requests

from local import stack
from local.activity import Activity
from local.authorize import authorize, verify_webhook
from local.control import Control, Failed, run_job
from local.ending import interruptible, watched
from local.events import EDITS
from local.feed import Take, from_pubsub, from_queue
from local.folder import alone, findable, folder_of
from local.next_steps import say_how_to_go_on
from local.options import Options, Unusable
from local.processes import ProcessDied, Processes
from local.terminal import Terminal
from shared.errors import SyncError
from shared.wiring.system import System
from workstation.authorization import AuthorizationFailed
from workstation.embedded_push import Pusher
from workstation.wiring import changes, local_system, queue

SYNC_SECONDS = 10.0
REFRESH_SECONDS = 3600.0
SETTLE_SECONDS = 120.0


def run(options: Options) -> int:
    """Return the exit code. Print every error that a user can cause."""
    terminal = Terminal()
    folder = folder_of(options)
    keep = options.folder is not None
    try:
        # The processes stop first, so that nothing waits for their answers any longer.
        with (
            alone(options, folder),
            interruptible(),
            ExitStack() as rest,
            Processes(folder) as processes,
            watched(processes),
        ):
            # Log lines of the system's modules in this process go to a file.
            rest.enter_context(contextlib.redirect_stdout(rest.enter_context((folder / "local.log").open("a"))))
            equal = _run(options, terminal, folder, processes, rest)
    except Unusable as problem:
        terminal.say(str(problem), style="bold red")
        return 1
    except KeyboardInterrupt:
        terminal.say("\nStopped. No process is left behind.")
        return 0 if options.command == "run" else 130
    except (ProcessDied, Failed, AuthorizationFailed, SyncError, requests.RequestException) as problem:
        keep = True
        # The text of such an error is too long to show.
        lost = isinstance(problem, requests.RequestException)
        terminal.say("a process did not answer: look into the logs" if lost else str(problem), style="bold red")
        terminal.say(f"All processes are stopped; their logs are in {folder}", style="dim")
        return 1
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    return 0 if equal else 1


def _run(options: Options, terminal: Terminal, folder: Path, processes: Processes, rest: ExitStack) -> bool:
    """Return whether the copy equals DrChrono's records. `run` ends only when interrupted."""
    _start(options, terminal, folder, processes, rest)
    if options.command == "run":
        rest.enter_context(findable(options, folder, SYNC_SECONDS))
        key = secrets.token_urlsafe(16)
        processes.start([stack.console(options, key)])
        terminal.heading("Open this page to watch:")
        terminal.long(f"  {stack.url(options, 'console')}/enter?key={key}")
    system = _system(options, folder)
    activity = Activity(terminal, system, stack.url(options, "jobs"), _changes(options, folder))
    terminal.heading("Authorization")
    authorize(options, terminal, system)
    control = Control(stack.url(options, "simulator")) if options.url is None else None
    if control is not None:
        verify_webhook(terminal, control)
    terminal.heading("Backfill")
    activity.backfill()
    equal = True
    if control is not None:
        terminal.heading("Webhooks")
        if not activity.events(control, EDITS[options.form]):
            run_job(stack.url(options, "jobs"), "reconcile")
        terminal.heading("The copy compared with the truth")
        differing = activity.settle(control, SETTLE_SECONDS)
        activity.show_feed("  ")
        activity.summary(control, differing)
        equal = not differing
    if options.command == "run":
        say_how_to_go_on(options, terminal, folder, system)
        logs = [folder / f"{name}.log" for name in ("receive_webhook", "store_record")]
        activity.keep_going(logs, SYNC_SECONDS, REFRESH_SECONDS)
    return equal


def _start(options: Options, terminal: Terminal, folder: Path, processes: Processes, rest: ExitStack) -> None:
    if options.installed is None:
        terminal.say("Records and events are kept in SQLite (the embedded form).")
        if options.because:
            terminal.say(f"Google's emulators are not used: {options.because}.", style="yellow")
    else:
        terminal.say("Records and events are kept in Google's Firestore and Pub/Sub emulators.")
    programs = [*stack.services(options, folder), *stack.functions(options, folder)]
    takes = "some seconds" if options.installed is None else "up to half a minute, the emulators most of it"
    terminal.say(f"Starting {len(programs)} processes ({takes}):")
    processes.start(programs, lambda program: terminal.say(f"  {program.name:24} http://127.0.0.1:{program.port}"))
    if options.url is None:
        terminal.say(
            f"The simulator has {options.patients} patients, speaks the {options.form} form and allows "
            f"{options.settings['DRCHRONO_QUOTA']}; the real DrChrono allows 100/minute."
        )
    _make_token_secret(options, folder)
    if options.installed is None:
        rest.enter_context(Pusher(queue(folder), stack.url(options, "store")))
    else:
        from local.subscription import EVENTS, subscribe

        subscribe(options.settings["GCP_PROJECT"], EVENTS, stack.url(options, "store"))


def _system(options: Options, folder: Path) -> System:
    return local_system({**stack.inherited(), **stack.environment(options, folder)})


def _changes(options: Options, folder: Path) -> Take:
    if options.installed is None:
        return from_queue(changes(folder))
    return from_pubsub(options.settings["GCP_PROJECT"])


def _make_token_secret(options: Options, folder: Path) -> None:
    from google.api_core.exceptions import AlreadyExists

    from shared.cloud.secret_manager import connect

    # Google's clients in this process find the emulators by these variables, as in the functions.
    os.environ.update(stack.environment(options, folder))
    cloud = _system(options, folder).cloud()
    with contextlib.suppress(AlreadyExists):
        connect(cloud).create_secret(parent=f"projects/{cloud.project}", secret_id=cloud.token_secret)
