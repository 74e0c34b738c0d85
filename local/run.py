"""`run` and `demo`: start the system, show it at work, and leave nothing behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from types import FrameType

import requests

from local import stack
from local.activity import Activity
from local.control import Control, Failed, run_job
from local.events import EDITS
from local.options import Options, Unusable
from local.processes import ProcessDied, Processes
from local.terminal import Terminal
from main import System
from shared.errors import SyncError, TokenError
from shared.settings import writes
from workstation.authorization import (
    AuthorizationFailed,
    RedirectListener,
    adopt,
    authorization_url,
    check_reachable,
    new_state,
)
from workstation.embedded_push import Pusher
from workstation.wiring import local_system, queue

# The simulator's records are younger. Of another DrChrono all are wanted; here, each empty half year of appointments is
# a list that is polled for two seconds in the live form.
OLDEST_SIMULATED = timedelta(days=400)

SYNC_SECONDS = 10.0
REFRESH_SECONDS = 3600.0
SETTLE_SECONDS = 120.0
BROWSER_SECONDS = 10.0


def run(options: Options) -> int:
    """Returns the exit code. Raises nothing that a person could have caused."""
    terminal = Terminal()
    folder = _folder(options)
    keep = options.folder is not None
    try:
        # The processes go first: what still waits for an answer of theirs then waits no longer.
        with _alone(options, folder), _interruptible(), ExitStack() as rest, Processes(folder) as processes:
            _watch(processes)
            # What the system's own modules log in this process is not for the screen.
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
        # The text of a connection's error is its whole history.
        lost = isinstance(problem, requests.RequestException)
        terminal.say("a process did not answer: look into the logs" if lost else str(problem), style="bold red")
        terminal.say(f"All processes are stopped; their logs are in {folder}", style="dim")
        return 1
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    return 0 if equal else 1


def _run(options: Options, terminal: Terminal, folder: Path, processes: Processes, rest: ExitStack) -> bool:
    """Whether the copy equals the truth; with `run`, ends by interruption only."""
    _start(options, terminal, folder, processes, rest)
    if options.command == "run":
        rest.enter_context(_findable(options, folder))
        key = secrets.token_urlsafe(16)
        processes.start([stack.console(options, key)])
        terminal.heading("Open this page to watch:")
        terminal.say(f"  {stack.url(options, 'console')}/enter?key={key}")
    system = _system(options, folder)
    activity = Activity(terminal, system, stack.url(options, "jobs"))
    terminal.heading("Authorization")
    _authorize(options, terminal, system)
    control = Control(stack.url(options, "simulator")) if options.url is None else None
    if control is not None:
        _verify_webhook(terminal, control)
    terminal.heading("Backfill")
    activity.backfill(since=None if control is None else _today() - OLDEST_SIMULATED)
    equal = True
    if control is not None:
        terminal.heading("Webhooks")
        if not activity.events(control, EDITS[options.form]):
            run_job(stack.url(options, "jobs"), "reconcile")
        terminal.heading("The copy beside the truth")
        differing = activity.settle(control, SETTLE_SECONDS)
        activity.summary(control, differing)
        equal = not differing
    if options.command == "run":
        _say_how_to_go_on(options, terminal, folder, system)
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


def _make_token_secret(options: Options, folder: Path) -> None:
    from google.api_core.exceptions import AlreadyExists

    from shared.cloud.secret_manager import connect

    # This process looks at the same stand-ins as the functions: Google's clients find them by these variables.
    os.environ.update(stack.environment(options, folder))
    cloud = _system(options, folder).cloud()
    with contextlib.suppress(AlreadyExists):
        connect(cloud).create_secret(parent=f"projects/{cloud.project}", secret_id=cloud.token_secret)


def _authorize(options: Options, terminal: Terminal, system: System) -> None:
    """By the guide's "Initial Authorization"; a pair that is there from an earlier run is used as it is."""
    if options.url is not None:
        with contextlib.suppress(TokenError):
            system.token_refresher().current()
            terminal.say("The token of an earlier run is used.")
            return
    redirect_uri, state = options.settings["DRCHRONO_REDIRECT_URI"], new_state()
    api = system.api()
    may_write = writes(options.settings)
    url = authorization_url(api.url, client_id=api.client_id, redirect_uri=redirect_uri, state=state, writes=may_write)
    check_reachable(api.url)
    with RedirectListener(redirect_uri) as listener:
        if options.url is None:
            _allow(url)
        else:
            terminal.say(f"Open this URL in a browser, and allow the access:\n\n  {url}\n")
            terminal.say(f"Waiting for the redirect to {redirect_uri} …", style="dim")
        code = listener.wait(state)
    granted = adopt(code, redirect_uri, system.token_endpoint(), system.token_refresher().adopt)
    terminal.say(f"Authorized for {granted.scope or 'all that was asked for'}.")


def _allow(url: str) -> None:
    """The simulated person allows it at once, and the simulated browser goes where it is sent."""
    answer = requests.get(url, allow_redirects=False, timeout=BROWSER_SECONDS)
    if answer.status_code != 302:
        raise Failed(f"the simulator answered {answer.status_code} to the authorization")

    def follow() -> None:
        with contextlib.suppress(requests.RequestException):
            requests.get(answer.headers["Location"], timeout=BROWSER_SECONDS)

    threading.Thread(target=follow, daemon=True).start()


def _verify_webhook(terminal: Terminal, control: Control) -> None:
    control.do("webhook", require_verification=True)
    answer = control.do("webhook/verify")
    if not answer or not answer["verified"]:
        raise Failed("the webhook's ownership handshake failed: look into receive_webhook.log")
    terminal.say("The webhook's ownership handshake succeeded.")


def _say_how_to_go_on(options: Options, terminal: Terminal, folder: Path, system: System) -> None:
    patient = next((key for key, _ in system.documents().query("patients", limit=1)), "1")
    webhook, jobs = stack.url(options, "webhook"), stack.url(options, "jobs")
    terminal.heading("It stays up until Ctrl-C. From another terminal:")
    if options.url is None:
        secret = options.settings["DRCHRONO_WEBHOOK_SECRET"]
        terminal.say("# sign a webhook and send it")
        terminal.say(f"""BODY='{{"event":"PATIENT_MODIFY","object_id":{patient},"webhook_id":"by-hand"}}'""")
        terminal.say(f"""SIGNATURE=$(printf %s "$BODY" | openssl dgst -sha256 -hmac {secret} -r | cut -d' ' -f1)""")
        terminal.say(f"""curl -i -H "X-drchrono-signature: $SIGNATURE" -d "$BODY" {webhook}""")
        terminal.say("# change a record at DrChrono")
        terminal.say(
            f"""curl -d '{{"kind":"patients","id":{patient},"fields":{{"city":"Springfield"}}}}' """
            f"{stack.url(options, 'simulator')}/control/change"
        )
    else:
        terminal.say(
            f"# webhooks get here only through a tunnel of yours to {webhook}; without one, syncs find changes"
        )
    terminal.say("# look at a document")
    if options.installed is None:
        terminal.say(f".venv/bin/python -m local show patients/{patient} --folder {folder}")
    else:
        firestore, project = stack.url(options, "firestore"), options.settings["GCP_PROJECT"]
        terminal.say(f"curl '{firestore}/v1/projects/{project}/databases/(default)/documents/patients/{patient}'")
    terminal.say("# read the copy as a program does")
    terminal.say("export $(grep -E '^(EMBEDDED_FOLDER|FIRESTORE_EMULATOR_HOST|GCP_PROJECT)=' .local/environment)")
    terminal.say(f"PYTHONPATH=reader .venv/bin/python examples/chart.py {patient}")
    terminal.say("# run a job: sync, backfill, reconcile or refresh-token")
    terminal.say(f"""curl -d '{{"job":"reconcile"}}' {jobs}""")
    terminal.say("# see how complete the copy is, and what waits for what")
    terminal.say(".venv/bin/python -m ops status --local")
    terminal.say(f"# logs\ntail -f {folder}/*.log\n")


def _today() -> date:
    return datetime.now(timezone.utc).date()


def _folder(options: Options) -> Path:
    if options.folder is None:
        return Path(tempfile.mkdtemp(prefix="drchrono-local-"))
    options.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return options.folder.resolve()


@contextmanager
def _findable(options: Options, folder: Path) -> Iterator[None]:
    """`python -m ops … --local` reads in this file where everything is."""
    told = {
        **stack.environment(options, folder),
        "WEBHOOK_URL": stack.url(options, "webhook"),
        "SYNC_SECONDS": f"{SYNC_SECONDS:g}",
    }
    file = _state(options) / "environment"
    file.touch(mode=0o600)
    file.write_text("".join(f"{name}={value}\n" for name, value in told.items()))
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def _state(options: Options) -> Path:
    state = options.home / ".local"
    state.mkdir(mode=0o700, exist_ok=True)
    return state


@contextmanager
def _alone(options: Options, folder: Path) -> Iterator[None]:
    """Two runs on one folder would spend each other's refresh token; of two runs in one checkout, `--local` would find
    one only. Raises Unusable.
    """
    with ExitStack() as locks:
        if options.command == "run":
            up = "another `make run` of this checkout is up (process {pid}): end it with Ctrl-C in its terminal first"
            locks.enter_context(_locked(_state(options) / "lock", up))
        locks.enter_context(_locked(folder / "lock", f"another `make run` works in {folder}: stop it first"))
        yield


@contextmanager
def _locked(file: Path, otherwise: str) -> Iterator[None]:
    """otherwise: what is said where another process has it; `{pid}` in it is that one's. Raises Unusable."""
    with file.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise Unusable(otherwise.replace("{pid}", lock.read() or "unknown")) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM, and a terminal that was closed, end the run as Ctrl-C does."""
    # Also the one that is Python's own by default: whoever starts this in the background may have it ignored.
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers[:3]:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(processes: Processes) -> None:
    """Whatever this thread is doing, a process that dies ends it with ProcessDied."""

    def look(number: int, frame: FrameType | None) -> None:
        processes.check()

    signal.signal(signal.SIGCHLD, look)
