"""Other processes of a benchmark: the simulator, a server, and a function whose processor time and memory count."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.control import Control

ROOT = Path(__file__).parent.parent

# The standard output is for the result alone. What the function prints, such as log lines, is written but not kept.
_PROGRAM = """\
import contextlib, json, os, sys
from {module} import {name} as work
with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
    result = work(**json.loads(sys.argv[1]))
print(json.dumps(result))
"""


def start(work: Callable[..., Any], **arguments: Any) -> subprocess.Popen[str]:
    """Call a function of a module in a new process. Its arguments and what it returns must be JSON."""
    program = _PROGRAM.format(module=work.__module__, name=work.__qualname__)
    command = [sys.executable, "-c", program, json.dumps(arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def finish(process: subprocess.Popen[str]) -> Any:
    """Wait for a process of `start`, and return its result. Raises CalledProcessError if it failed."""
    output, _ = process.communicate()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args)
    return json.loads(output)


def peak_mib() -> float:
    """Return this process's peak memory. Not getrusage's peak, which includes that of the parent process."""
    (kib,) = re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(kib) / 1024


@contextmanager
def running(
    command: Sequence[str], *, stdout: int = subprocess.DEVNULL, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run a program until the block ends. environment: all of it; None: that of this process."""
    with subprocess.Popen(command, stdout=stdout, text=True, cwd=ROOT, env=environment) as process:
        try:
            yield process
        finally:
            process.terminate()


@dataclass(frozen=True)
class Simulated:
    """A running simulator. token: an access token that it accepts."""

    url: str
    token: str
    control: Control


@contextmanager
def simulator(*options: str) -> Iterator[Simulated]:
    command = [sys.executable, "-m", "simulator", "--ready-json", *options]
    with running(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        control = Control(url)
        issued = control.do("tokens", action="issue")
        assert issued is not None
        yield Simulated(url, issued["access_token"], control)
