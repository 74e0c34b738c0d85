"""Making `.venv`: whatever goes wrong is one line with its remedy, and never a traceback."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from io import StringIO
from itertools import count
from pathlib import Path

import pytest

from local.environment import watched
from local.processes import ROOT

NO_ENSUREPIP = """
import sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name == "ensurepip":
            raise ImportError(name)
sys.meta_path.insert(0, Without())
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A fresh clone, as far as this goes."""
    (tmp_path / "local").mkdir()
    for name in ("local/environment.py", "requirements-dev.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def make(checkout: Path, *options: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys._base_executable, "local/environment.py", *options],  # type: ignore[attr-defined]  # not that of our own .venv
        cwd=checkout,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_python_without_venv_is_told_with_the_package_to_install(checkout: Path) -> None:
    (checkout / "sitecustomize.py").write_text(NO_ENSUREPIP)
    done = make(checkout, PYTHONPATH=str(checkout))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "apt install python3." in done.stderr


def test_a_broken_environment_is_made_anew_and_a_missing_network_is_told(checkout: Path) -> None:
    broken = checkout / ".venv" / "bin" / "python"
    broken.parent.mkdir(parents=True)
    broken.symlink_to("/nonexistent/python3")
    done = make(checkout, PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_NO_CACHE_DIR="1", PIP_CONFIG_FILE=os.devnull)
    assert "broken" in done.stdout
    assert subprocess.run([broken, "-c", ""], check=False).returncode == 0
    assert done.returncode == 1
    assert done.stderr == (
        "the packages cannot be fetched: the package index is out of reach; check the network, or PIP_INDEX_URL\n"
    )
    assert not (checkout / ".venv" / "ready").exists()


@pytest.mark.parametrize(("options", "kept"), [((), True), (("--this-python",), False)])
def test_an_environment_of_another_python_is_made_anew_only_for_who_asks_for_one(
    checkout: Path, options: tuple[str, ...], *, kept: bool
) -> None:
    other = checkout / ".venv" / "bin" / "python"
    other.parent.mkdir(parents=True)
    other.write_text("#!/bin/sh\necho 3 99\n")
    other.chmod(0o755)
    pins = hashlib.sha256((checkout / "requirements-dev.txt").read_bytes()).hexdigest()
    (checkout / ".venv" / "ready").write_text(pins)
    done = make(checkout, *options, PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_CONFIG_FILE=os.devnull)
    assert (done.returncode, "has Python 3.99: making it anew" in done.stdout) == ((0, False) if kept else (1, True))
    assert other.is_symlink() is not kept


@pytest.mark.parametrize("command", ["ops status", "ops --help", "local run --backend embedded", "local demo"])
def test_a_program_that_is_started_before_says_what_to_run(command: str) -> None:
    """`-S`: without the packages."""
    program, *arguments = command.split()
    done = subprocess.run(
        [sys._base_executable, "-S", "-m", program, *arguments],  # type: ignore[attr-defined]
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (1, 2)
    assert done.stderr.count("\n") == 1
    assert "is not installed" in done.stderr
    assert "run `make environment` once, then `source .venv/bin/activate`" in done.stderr


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


PIP = [
    "Looking in indexes: …\n",
    "Collecting a==1\n",
    "Processing /wheels/b.whl\n",
    "Installing collected packages: a, b\n",
]


def test_there_is_a_sign_of_life_while_packages_are_installed() -> None:
    seconds = count(0, 6)
    screen = StringIO()
    assert watched(PIP, 3, screen, lambda: float(next(seconds))) == "".join(PIP)
    shown = screen.getvalue().splitlines()
    assert "  fetched 2 of up to 3 packages" in [line.partition(" (")[0] for line in shown]
    assert shown[-1].startswith("  unpacking 2 packages (")


def test_on_a_terminal_it_is_one_line_that_is_cleared_at_the_end() -> None:
    screen = Terminal()
    seconds = count(0, 1)
    watched(PIP, 3, screen, lambda: float(next(seconds)))
    assert "\n" not in screen.getvalue()
    assert screen.getvalue().endswith("\r" + " " * 70 + "\r")
