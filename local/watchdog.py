"""A process group that ends with the process that made it, even if that process is killed."""

from __future__ import annotations

import subprocess
import sys

# Leads the group. When its input ends, it kills the whole group, itself included. Its input ends when the pipe is
# closed or the process at the other end is gone.
_PROGRAM = "import os, signal, sys; sys.stdin.read(); os.killpg(0, signal.SIGKILL)"


class Watchdog:
    """Start programs with `process_group=watchdog.pid`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _PROGRAM], stdin=subprocess.PIPE, process_group=0
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def release(self) -> None:
        """Kill the processes that remain in the group. `wait` returns when they have ended."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def wait(self) -> None:
        self._process.wait()
