"""The page docs/tutorial.md: every command on it, in its order, in a clone, as a new user types them."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.test_layers import ROOT

PAGE = (ROOT / "docs" / "tutorial.md").read_text()
BLOCKS = re.findall(r"^```bash\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
MAKE_RUN = "DRCHRONO_WRITES=on make run\n"
READY_SECONDS = 120.0
BASH = shutil.which("bash") or "/bin/bash"


def bash(script: str, cwd: Path) -> str:
    """What it prints. It must succeed, each command of it."""
    # Nor what a `make` that runs the tests tells those below it.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.endswith("_EMULATOR_HOST") and name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    }
    done = subprocess.run(
        [BASH, "-euo", "pipefail", "-c", script],
        cwd=cwd,
        env=environment | {"BACKEND": "embedded", "GIT_CONFIG_COUNT": "0"},
        capture_output=True,
        text=True,
        timeout=READY_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def with_packages(clone: Path) -> None:
    """The packages of this environment, so that `make environment` has nothing left to fetch."""
    (clone / ".venv").mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (clone / ".venv" / name).symlink_to(Path(sys.prefix) / name)
    stamp = hashlib.sha256((clone / "requirements-dev.txt").read_bytes()).hexdigest()
    (clone / ".venv" / "ready").write_text(stamp)


def overlaid(clone: Path) -> None:
    """What is in the working tree and not committed yet, too."""
    listed = bash("git ls-files --cached --others --exclude-standard", ROOT).splitlines()
    for name in listed:
        if (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, clone / name)


def test_every_command_of_the_tutorial_works(tmp_path: Path) -> None:
    get, start, *use = BLOCKS
    assert start == MAKE_RUN
    cloning, entering, making = get.strip().splitlines()
    bash(cloning.replace("REPOSITORY", str(ROOT)), tmp_path)
    clone = tmp_path / entering.removeprefix("cd ")
    overlaid(clone)
    with_packages(clone)
    assert bash(making, clone) == ""
    with subprocess.Popen(
        [BASH, "-c", start.replace("make", "exec make")],
        cwd=clone,
        env={**os.environ, "BACKEND": "embedded"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as run:
        try:
            said: list[str] = []
            reader = threading.Thread(target=lambda: said.extend(run.stdout or ()), daemon=True)
            reader.start()
            wait_for(said, "# logs", run)
            assert "Open this page to watch" in "".join(said)
            printed = bash("\n".join(use), clone)
            assert re.search(r"^appointments +\d+", printed, re.MULTILINE)
            visit = re.search(r"^(\d+)$", printed, re.MULTILINE)
            assert visit
            assert f"{visit[1]} In Session\n" in printed
            assert f"appointments/{visit[1]} is equal to DrChrono's." in printed
            assert "Done. The record's version is" in printed
            assert "Nothing waits, and nothing was rejected." in printed
            assert re.search(rf"^\d\d:\d\d:\d\d APPOINTMENT_MODIFY +appointments/{visit[1]} ", "".join(said), re.M)
        finally:
            os.killpg(run.pid, 2)
            run.wait(30)
    assert "No process is left behind" in "".join(said)


def wait_for(said: list[str], words: str, run: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not any(words in line for line in said):
        assert run.poll() is None, "".join(said)
        assert time.monotonic() < deadline, "".join(said)
        time.sleep(0.1)  # a real process


def test_the_page_has_no_commands_that_the_test_does_not_run() -> None:
    """But for what a bare machine needs before."""
    assert len(BLOCKS) == PAGE.count("```") / 2
    assert PAGE.count("$ ") == 0


def test_what_a_bare_machine_lacks_is_named() -> None:
    for page in (PAGE, (ROOT / "README.md").read_text()):
        assert re.search(r"apt install git make curl python3-venv", page)
