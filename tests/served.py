"""A function in a process of its own, started and served as Cloud Run does it: gunicorn, one worker, threads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from local.emulators import free_port, wait_for_port
from local.package import ROOT

STOP_SECONDS = 10


@contextmanager
def served(
    target: str,
    environment: Mapping[str, str],
    log: Path,
    *,
    python: str | Path = sys.executable,
    source: Path = ROOT,
) -> Iterator[int]:
    """Serve the entry point `target` of `source`/main.py and yield its port on loopback.

    environment: all that the process gets, besides PATH. log: where its stdout goes; stderr goes to a file beside it.
    """
    port = free_port()
    errors = log.with_suffix(".stderr")
    with log.open("wb") as output, errors.open("wb") as error_output:
        server = subprocess.Popen(
            [Path(python).parent / "functions-framework"],  # the start command that Google's Python buildpack writes
            cwd=source,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONDONTWRITEBYTECODE": "1",
                "FUNCTION_TARGET": target,
                "PORT": str(port),
                "HOST": "127.0.0.1",  # the cloud's is 0.0.0.0
                **environment,
            },
            stdout=output,
            stderr=error_output,
            start_new_session=True,
        )
    try:
        try:
            wait_for_port(port, server, target)
        except RuntimeError as error:
            raise AssertionError(f"{error}:\n{log.read_text()}{errors.read_text()}") from None
        yield port
    finally:
        server.terminate()
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:  # a request is still being worked on, and nobody waits for its answer
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
