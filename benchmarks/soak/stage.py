"""The system in separate processes, with several instances of each function, and the faults to inject."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil
import requests
from google.api_core.exceptions import GoogleAPICallError

from benchmarks.soak.balancer import Balancer
from benchmarks.soak.plan import Act, links
from benchmarks.soak.programs import instances, skewed, with_odd_records
from benchmarks.soak.slow_senders import drip
from local import stack
from local.control import Control
from local.options import Options
from local.processes import Processes, Program
from local.subscription import EVENTS, subscribe
from shared.cloud.secret_manager import connect
from shared.errors import SyncError
from shared.wiring.system import System
from workstation.authorization import AuthorizationFailed, adopt, authorization_url, new_state

TERM_SECONDS = 10.0  # as Cloud Run waits between SIGTERM and SIGKILL
ATTEMPTS = 20
BROWSER_SECONDS = 10.0
REPLAYED = 10  # deliveries


class Stage:
    """The running system: `with on_stage(options, folder) as stage`."""

    def __init__(self, options: Options, folder: Path, processes: Processes) -> None:
        self.options = options
        self.folder = folder
        self.processes = processes
        self.control = Control(stack.url(options, "simulator"))
        self.jobs_url = stack.url(options, "jobs")
        self.programs: dict[str, Program] = {}
        self.authorized = 0
        self.before_restart: Callable[[], object] = lambda: None
        self.subscribers: list[Callable[[], None]] = []
        self._faults: dict[str, Sequence[Mapping[str, Any]]] = {}
        self._hidden: dict[str, Mapping[str, Any]] = {}
        self._practice = threading.Lock()
        self._one_at_a_time: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        os.environ.update(stack.environment(options, folder))  # Google's clients read these
        self.system = System({**stack.inherited(), **stack.environment(options, folder)})

    @property
    def functions(self) -> list[str]:
        return [name for name in self.programs if name.startswith(tuple(stack.THREADS))]

    def start(self, programs: list[Program]) -> None:
        self.programs |= {program.name: program for program in programs}
        self.processes.start(programs)

    def subscribe(self) -> None:
        """Subscribe, with retries, because the emulator may listen before it serves."""
        insist(
            lambda: subscribe(self.options.settings["GCP_PROJECT"], EVENTS, stack.url(self.options, "store")),
            GoogleAPICallError,
        )
        for again in self.subscribers:
            insist(again, GoogleAPICallError)

    def link(self) -> None:
        """Give each patient links that are signed anew at each read."""
        for key, patient in self.control.truth("patients").items():
            self.control.do("change", kind="patients", id=key, fields=links(key, patient), webhook=False)

    def authorize(self) -> None:
        """Authorize as a person does with `ops authorize`, until it works."""
        insist(self._authorize, AuthorizationFailed, SyncError, requests.RequestException)
        self.authorized += 1

    def _authorize(self) -> None:
        api, redirect_uri = self.system.api(), self.options.settings["DRCHRONO_REDIRECT_URI"]
        url = authorization_url(
            api.url, client_id=api.client_id, redirect_uri=redirect_uri, state=new_state(), writes=True
        )
        answer = requests.get(url, allow_redirects=False, timeout=BROWSER_SECONDS)
        code = parse_qs(urlsplit(answer.headers.get("Location", "")).query).get("code", ["none"])[0]
        adopt(code, redirect_uri, self.system.token_endpoint(), self.system.token_refresher().adopt)

    def perform(self, act: Act) -> None:
        """Perform the act, and return when it is over."""
        match act.what:
            case "kill" | "term" | "restart":
                self._end_and_start(act)
            case "freeze":
                self._freeze(act)
            case "expire":
                self.control.do("tokens", action="expire")
            case "revoke":
                self.control.do("tokens", action="revoke")
                time.sleep(act.lasts)
                self.authorize()
            case "poison" | "fail":
                rule: dict[str, Any] = {"fault": "500", "kind": act.whom, "method": "GET"}
                if act.what == "poison":
                    rule |= {"id": min(self.control.truth(act.whom)), "read": "single"}
                self.break_with(act.what, [rule])
                time.sleep(act.lasts)
                self.break_with(act.what, [])
            case "hide":
                self.hide(act.whom, {"kind": act.whom, "single": "404"})
                time.sleep(act.lasts)
                self.hide(act.whom, None)
            case "narrow":
                self.control.do("visibility", only_doctor=min(self.control.truth("doctors"), key=int))
                time.sleep(act.lasts)
                self.control.do("visibility", only_doctor=None)
            case "replay":
                self.control.do("webhook/send", event="PATIENT_MODIFY", copies=REPLAYED)
            case "drip":
                drip(self.options.ports["webhook"], act.lasts)

    def break_with(self, name: str, rules: Sequence[Mapping[str, Any]]) -> None:
        """Set the faults of this name. Those of other names stay, and come after them."""
        with self._practice:
            self._faults = {name: rules, **{other: some for other, some in self._faults.items() if other != name}}
            every = [rule for some in reversed(self._faults.values()) for rule in some]
            self.control.do("faults", rules=every, replace=True)

    def hide(self, name: str, hidden: Mapping[str, Any] | None) -> None:
        with self._practice:
            kept = {other: one for other, one in self._hidden.items() if other != name}
            self._hidden = kept | ({name: hidden} if hidden is not None else {})
            self.control.do("visibility", hidden=list(self._hidden.values()))

    def _end_and_start(self, act: Act) -> None:
        with self._one_at_a_time[act.whom]:
            if act.what != "restart":
                self._end(act)
                self.processes.start([self.programs[act.whom]])
                return
            # Unlike Pub/Sub, the emulator loses all messages in a restart. So subscribers first receive everything that
            # was published, and nothing is published until their subscriptions exist again.
            with self._still():
                self.before_restart()
                self._end(act)
            self.processes.start([self.programs[act.whom]])
            with self._still():
                self.subscribe()

    def _end(self, act: Act) -> None:
        number = signal.SIGTERM if act.what == "term" else signal.SIGKILL
        workers = self.tree(act.whom)[1:]
        self.processes.end(act.whom, number, TERM_SECONDS)
        for worker in workers:  # workers of a killed server would go on serving without it
            _signal(worker, signal.SIGKILL)
        psutil.wait_procs(workers)

    @contextmanager
    def _still(self) -> Iterator[None]:
        """Within the block, every function is frozen."""
        with ExitStack() as stack:
            for name in self.functions:
                stack.enter_context(self._one_at_a_time[name])
            frozen = [process for name in self.functions for process in self.tree(name)]
            for process in frozen:
                _signal(process, signal.SIGSTOP)
            try:
                yield
            finally:
                for process in frozen:
                    _signal(process, signal.SIGCONT)

    def _freeze(self, act: Act) -> None:
        with self._one_at_a_time[act.whom]:
            frozen = self.tree(act.whom)
            for process in frozen:
                _signal(process, signal.SIGSTOP)
            time.sleep(act.lasts)
            for process in frozen:
                _signal(process, signal.SIGCONT)

    def tree(self, name: str) -> list[psutil.Process]:
        """Return the process and its children; empty if it has ended."""
        pid = self.processes.pids().get(name)
        try:
            process = psutil.Process(pid) if pid is not None else None
            return [process, *process.children(recursive=True)] if process else []
        except psutil.NoSuchProcess:
            return []


@contextmanager
def on_stage(options: Options, folder: Path) -> Iterator[Stage]:
    with ExitStack() as balancers, Processes(folder) as processes:
        stage = Stage(options, folder, processes)
        functions = skewed(instances(options, folder), options.seed)
        stage.start([*map(with_odd_records, stack.services(options, folder)), *functions])
        for name, slots in stack.THREADS.items():
            backends = [program.port for program in functions if program.name.startswith(name)]
            balancers.enter_context(Balancer(options.ports[stack.PORT_OF[name]], backends, slots))
        cloud = stage.system.cloud()
        connect(cloud).create_secret(parent=f"projects/{cloud.project}", secret_id=cloud.token_secret)
        stage.subscribe()
        yield stage


def insist(action: Callable[[], object], *expected: type[Exception]) -> None:
    """Call `action` until it raises none of `expected`, because its dependencies fail on purpose."""
    for _ in range(ATTEMPTS):
        with contextlib.suppress(*expected):
            action()
            return
        time.sleep(1)
    action()


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)
