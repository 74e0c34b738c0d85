"""The processes of the local system: the one that dies is named, and none outlives the one that started it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from local.emulators import Emulators, free_port
from local.processes import ROOT, ProcessDied, Processes, Program

# Listens until it is ended.
LISTENER = "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(600)"
DEAF = LISTENER.replace("import ", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); import ", 1)


def listener(name: str, code: str = LISTENER) -> Program:
    port = free_port()
    return Program(name, [sys.executable, "-S", "-c", code, str(port)], port, dict(os.environ))


def gone(pids: dict[str, int]) -> bool:
    """Whether all of these have ended. (A zombie without a parent to reap it has ended, too.)"""
    there = [psutil.Process(pid) for pid in pids.values() if psutil.pid_exists(pid)]
    _, alive = psutil.wait_procs(there, timeout=10)
    return all(process.status() == psutil.STATUS_ZOMBIE for process in alive)


def test_the_process_that_died_is_named_with_its_log_and_what_to_do(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        processes.start([listener("one"), listener("another")])
        processes.check()
        os.kill(processes.pids()["another"], signal.SIGKILL)
        # Wait for its end, and leave its exit code for who started it.
        os.waitid(os.P_PID, processes.pids()["another"], os.WEXITED | os.WNOWAIT)
        with pytest.raises(ProcessDied, match=r"another died \(killed by SIGKILL\).*another\.log.*make run"):
            processes.check()


def test_each_is_told_of_as_soon_as_it_listens(tmp_path: Path) -> None:
    """So that a run that takes half a minute to start is not silent."""
    told: list[str] = []
    with Processes(tmp_path) as processes:
        processes.start([listener("one"), listener("another")], lambda program: told.append(program.name))
    assert told == ["one", "another"]


def test_a_process_that_does_not_start_is_named(tmp_path: Path) -> None:
    with (
        Processes(tmp_path) as processes,
        pytest.raises(ProcessDied, match=r"broken died \(exit code 3\)"),
    ):
        processes.start([listener("whole"), listener("broken", "import sys; sys.exit(3)")])


def test_a_port_that_another_program_has_taken_does_not_pass_for_a_started_process(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        # Like gunicorn, it tries again for a while before it gives up.
        patient = "import socket, sys, time; time.sleep(0.5); socket.create_server(('127.0.0.1', int(sys.argv[1])))"
        program = Program("late", [sys.executable, "-S", "-c", patient, str(port)], port, dict(os.environ))
        with Processes(tmp_path) as processes, pytest.raises(ProcessDied, match=r"late died \(exit code 1\)"):
            processes.start([program])


def test_no_process_is_left_when_the_block_ends_even_one_that_ignores_the_request(tmp_path: Path) -> None:
    with Processes(tmp_path, stop_seconds=0.2) as processes:
        processes.start([listener("polite"), listener("deaf", DEAF)])
        pids = processes.pids()
    assert gone(pids)


def test_no_process_is_left_when_the_one_that_started_them_is_killed(tmp_path: Path) -> None:
    ports = [free_port(), free_port()]
    starter = f"""
import os, sys, time
from pathlib import Path
from local.processes import Processes, Program
programs = [Program(str(port), [sys.executable, "-S", "-c", {LISTENER!r}, str(port)], port, dict(os.environ))
            for port in {ports}]
with Processes(Path({str(tmp_path)!r})) as processes:
    processes.start(programs)
    print(*processes.pids().values(), flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", starter], cwd=ROOT, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        pids = [int(pid) for pid in started.stdout.readline().split()]
        started.kill()
    assert len(pids) == 2
    assert gone(dict(zip("ab", pids, strict=True)))


@pytest.mark.emulator
def test_no_emulator_is_left_when_the_test_run_that_started_it_is_killed(emulators: Emulators) -> None:
    starter = """
import time
from local.emulators import Emulators
with Emulators() as started:
    print(*(process.pid for process in started._processes), flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", starter], cwd=ROOT, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        pids = [int(pid) for pid in started.stdout.readline().split()]
        started.kill()
    assert len(pids) == 2
    assert gone(dict(zip("ab", pids, strict=True)))
