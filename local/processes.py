"""The processes of the local system: started, watched and stopped together, even if this process is killed."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from local.emulators import wait_for_port
from local.watchdog import Watchdog

ROOT = Path(__file__).resolve().parent.parent

# Between SIGTERM and SIGKILL. A function that is storing a page does not begin another one meanwhile.
STOP_SECONDS = 3.0


@dataclass(frozen=True)
class Program:
    """A program to start. port: where it listens when it is ready. folder: its working directory."""

    name: str
    command: Sequence[str]
    port: int
    environment: Mapping[str, str]
    folder: Path = ROOT


class ProcessDied(Exception):
    """A process ended by itself. The text says which, how, and where its log is."""


class Processes:
    """`with Processes(logs) as processes: processes.start(programs)`. All of them have ended when the block ends."""

    def __init__(self, logs: Path, *, stop_seconds: float = STOP_SECONDS) -> None:
        self._logs = logs
        self._stop_seconds = stop_seconds
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self._watchdog = Watchdog()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, programs: Sequence[Program], ready: Callable[[Program], None] = lambda program: None) -> None:
        """Start all programs at once, and return when all of them listen. ready: called for each that does.

        Raises ProcessDied.
        """
        for program in programs:
            with self._log(program.name).open("ab") as log:
                self._running[program.name] = subprocess.Popen(
                    program.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=program.folder,
                    env=program.environment,
                    process_group=self._watchdog.pid,
                )
        for program in programs:
            try:
                wait_for_port(program.port, self._running[program.name], program.name)
            except RuntimeError as error:
                self.check()
                raise ProcessDied(f"{error}. {self._advice(program.name)}") from None
            ready(program)

    def check(self) -> None:
        """Raise ProcessDied if a process has ended."""
        for name, process in self._running.items():
            code = process.poll()
            if code is not None:
                how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
                raise ProcessDied(f"{name} died ({how}). {self._advice(name)}")

    def end(self, name: str, number: signal.Signals, seconds: float) -> None:
        """Send the signal, and kill the process if it has not ended after `seconds`. It can be started again."""
        process = self._running.pop(name)
        process.send_signal(number)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop(self) -> None:
        """Send SIGTERM to all processes, the last started first, and kill those that do not end in time."""
        running, self._running = self._running, {}
        for process in reversed(running.values()):
            process.terminate()
        deadline = time.monotonic() + self._stop_seconds
        for process in running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
        self._watchdog.release()
        for process in running.values():
            process.wait()
        self._watchdog.wait()

    def pids(self) -> dict[str, int]:
        return {name: process.pid for name, process in self._running.items()}

    def _advice(self, name: str) -> str:
        return f"Its last lines are in {self._log(name)}; start again with `make run`."

    def _log(self, name: str) -> Path:
        return self._logs / f"{name.lower().replace(' ', '-').replace('/', '')}.log"
