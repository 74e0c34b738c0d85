"""The whole system, started as a person starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests

from local.comparison import copied, differences
from local.emulators import Emulators, free_port
from local.processes import ROOT
from shared.drchrono.kinds import KINDS
from simulator import Config, Simulator
from workstation.wiring import documents

READY_SECONDS = 90.0


@contextmanager
def started(*arguments: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """`python -m local …`; what it started is gone when the block ends, or the test fails."""
    command = [sys.executable, "-m", "local", *arguments]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], *words: str) -> str:
    """All it said until it had said each of `words`, in any order. A process that does not say them is killed."""
    assert process.stdout is not None
    said = ""
    # A thread ends the wait, because a process that prints nothing wakes no loop over its lines.
    limit = threading.Timer(READY_SECONDS, process.kill)
    limit.start()
    try:
        for line in process.stdout:
            said += line
            if all(each in said for each in words):
                return said
    finally:
        limit.cancel()
    raise AssertionError(f"it ended without saying {words!r}:\n{said}")


def ended(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=10)
    return all(process.status() == psutil.STATUS_ZOMBIE for process in alive)


def demo(backend: str) -> None:
    with started("demo", "--backend", backend, "--patients", "8") as process:
        said = read_until(process, "The copy equals the truth.")
        assert process.wait(30) == 0
    events = set(re.findall(r"^  ([A-Z_]+) .*stored after", said, re.MULTILINE))
    assert {"PATIENT_CREATE", "PATIENT_MODIFY", "APPOINTMENT_CREATE", "APPOINTMENT_MODIFY"} <= events
    assert {"created", "changed", "deleted", "filled"} <= set(re.findall(r"^  feed: (\w+) ", said, re.MULTILINE))
    assert "0 answered 429" in said
    assert [line for line in said.partition("\nWebhooks\n")[2].splitlines() if len(line) > 80] == []


def test_the_demo_ends_well_with_the_embedded_store() -> None:
    demo("embedded")


@pytest.mark.emulator
def test_the_demo_ends_well_with_the_emulators(emulators: Emulators) -> None:
    """`emulators`: so that a machine without them is told of once, as for every other test."""
    demo("emulators")


def test_a_running_system_takes_changes_until_one_of_its_processes_dies(tmp_path: Path) -> None:
    home = ("--home", str(tmp_path))
    with started("run", "--backend", "embedded", "--patients", "4", "--folder", str(tmp_path), *home) as process:
        said = read_until(process, "# logs")
        changed = re.search(r"curl -d '(\{.*\"Springfield\".*\})' \\\n  (\S+)", said)
        show = re.search(r"-m local show (\S+) \\\n  --folder (\S+)", said)
        assert changed
        assert show
        requests.post(changed[2], data=changed[1], timeout=10).raise_for_status()
        # The message and the function's log line are read from two places, so either may be printed first.
        arrived = read_until(process, "PATIENT_MODIFY", " feed: changed v2 ")
        assert re.search(r"^\d\d:\d\d:\d\d PATIENT_MODIFY +patients/\d+ ", arrived, re.M)
        webhook = re.search(r"receive_webhook +(\S+)", said)
        assert webhook
        requests.post(webhook[1], json={"event": "PATIENT_MODIFY", "object_id": 1}, timeout=10)
        read_until(process, "a webhook was refused with 401")
        look = [sys.executable, "-m", "local", "show", show[1], "--folder", show[2]]
        deadline = time.monotonic() + 20
        while "Springfield" not in subprocess.run(look, cwd=ROOT, capture_output=True, text=True, check=True).stdout:
            assert time.monotonic() < deadline, "the change did not arrive"
        children = psutil.Process(process.pid).children(recursive=True)
        next(child for child in children if "store_record" in child.cmdline()).send_signal(signal.SIGKILL)
        assert "store_record.log" in read_until(process, "store_record died (killed by SIGKILL)")
        assert process.wait(30) == 1
        assert ended(children)


def test_a_second_run_of_a_checkout_is_refused_and_the_first_stays_findable(tmp_path: Path) -> None:
    arguments = ("run", "--backend", "embedded", "--patients", "4", "--home", str(tmp_path))
    with started(*arguments) as first:
        read_until(first, "Authorization")
        found = (tmp_path / ".local" / "environment").read_text()
        with started(*arguments) as second:
            assert second.stdout is not None
            assert second.stdout.read() == (
                f"another `make run` of this checkout is up (process {first.pid}): "
                "end it with Ctrl-C in its terminal first\n"
            )
            assert second.wait(30) == 1
        assert (tmp_path / ".local" / "environment").read_text() == found
        os.kill(first.pid, signal.SIGINT)
        assert first.wait(30) == 0
    assert not (tmp_path / ".local" / "environment").exists()


def test_a_drchrono_that_does_not_answer_is_told_before_a_browser_is_waited_for(tmp_path: Path) -> None:
    settings = {
        "DRCHRONO_URL": f"http://127.0.0.1:{free_port()}",
        "DRCHRONO_CLIENT_ID": "id",
        "DRCHRONO_CLIENT_SECRET": "secret",
        "DRCHRONO_REDIRECT_URI": f"http://127.0.0.1:{free_port()}/callback",
    }
    arguments = ("run", "--backend", "embedded", "--folder", str(tmp_path), "--home", str(tmp_path))
    with started(*arguments, **settings) as process:
        assert "/o/authorize/" not in read_until(process, "so nothing was begun: check DRCHRONO_URL")
        assert process.wait(30) == 1


def test_an_interrupted_run_leaves_no_process_and_no_traceback(tmp_path: Path) -> None:
    with started("run", "--backend", "embedded", "--patients", "4", "--home", str(tmp_path)) as process:
        read_until(process, "Authorization")
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) >= 5
        os.kill(process.pid, signal.SIGINT)
        assert "Traceback" not in read_until(process, "No process is left behind")
        assert process.wait(30) == 0
        assert ended(children)


def test_another_drchrono_is_authorized_in_the_browser_once_and_then_copied(tmp_path: Path) -> None:
    redirect_uri = f"http://127.0.0.1:{free_port()}/callback"
    with Simulator(Config(patients=3, redirect_uris=(redirect_uri,))) as simulator:
        settings = {
            "DRCHRONO_URL": simulator.url,
            "DRCHRONO_CLIENT_ID": simulator.config.client_id,
            "DRCHRONO_CLIENT_SECRET": simulator.config.client_secret,
            "DRCHRONO_REDIRECT_URI": redirect_uri,
            "DRCHRONO_QUOTA": "6000/minute",
        }
        arguments = ("run", "--backend", "embedded", "--folder", str(tmp_path), "--home", str(tmp_path))
        with started(*arguments, **settings) as process:
            url = read_until(process, f"{simulator.url}/o/authorize/").split()[-1]
            read_until(process, "Waiting for the redirect")
            assert requests.get(url, timeout=10).status_code == 200
            read_until(process, "Backfilled in")
            process.terminate()
            assert process.wait(30) == 0
        found = copied(documents(tmp_path), KINDS["patients"])
        assert differences(KINDS["patients"], simulator.truth("patients"), found) == []
        with started(*arguments, **settings) as process:
            assert "/o/authorize/" not in read_until(process, "The token of an earlier run is used.")
