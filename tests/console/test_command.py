"""The command as a person starts it: what it prints, where it listens, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import requests

from tests.ops.conftest import Practice
from tests.ops.terminal import ROOT
from workstation.wiring import CONSOLE_KEY


@contextmanager
def started(practice: Practice, *options: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "ops", "console", "--local", "--no-browser", *options],
        cwd=practice.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"http://127\.0\.0\.1:\d+/enter\?key=\S+", line):
            return found[0]
    raise AssertionError("no address was printed")


def test_the_printed_address_opens_it_on_loopback_only_and_ctrl_c_ends_it(practice: Practice) -> None:
    practice.authorize()
    with started(practice) as process:
        url = address(process)
        web = requests.Session()
        assert web.get(url, timeout=20).status_code == 200
        origin = url.partition("/enter")[0]
        assert "good for 60 min" in web.get(origin + "/", timeout=20).text
        listening = [one.laddr.ip for one in psutil.Process(process.pid).net_connections() if one.status == "LISTEN"]
        assert listening == ["127.0.0.1"]
        process.send_signal(signal.SIGINT)
        said, complaints = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "The console has ended." in said
    assert complaints == ""
    assert "GET /" not in said


def test_each_start_has_another_key_and_a_given_one_is_used(practice: Practice) -> None:
    keys = []
    for _ in range(2):
        with started(practice) as process:
            keys.append(address(process).partition("=")[2])
    assert len(set(keys)) == 2
    assert all(len(key) >= 22 for key in keys)
    with started(practice, **{CONSOLE_KEY: "given"}) as process:
        assert address(process).endswith("=given")


def test_a_port_in_use_is_one_line_with_the_remedy(practice: Practice) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        shown = practice.ops("console", "--no-browser", "--port", str(taken.getsockname()[1]))
    assert shown.exit_code == 1
    assert "is in use or not allowed: choose another with --port, or leave it out" in shown.stderr
