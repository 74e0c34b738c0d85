"""A process group that ends with the process that made it, however that one ends."""

from __future__ import annotations

import subprocess
import sys

# Leads the group, and ends it, itself included, as soon as its input does: that is, when the pipe is closed or the
# process that holds its other end is gone, even by SIGKILL.
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
        """End what is left of the group by force. `wait` returns when it is done."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def wait(self) -> None:
        self._process.wait()
