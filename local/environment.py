"""Makes `.venv` with the pinned packages. The Makefile runs it: `python3 local/environment.py [--this-python]`.

With `--this-python`, an environment of another version of Python is made anew.

It runs before anything is installed, so it uses the standard library only. An old Python can parse it, and reports
that it is too old. Every failure is one line with its remedy.
"""

import hashlib
import os
import queue
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TextIO

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv"
PYTHON = FOLDER / "bin" / "python"
PINS = ROOT / "requirements-dev.txt"
OLDEST = (3, 11)
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"

# Between two lines of progress.
TERMINAL_SECONDS = 0.5
PIPE_SECONDS = 5.0

# Parts of pip's messages when it cannot reach the package index.
UNREACHED = (
    "NewConnectionError",
    "NameResolutionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "Max retries exceeded",
    "Connection refused",
    "Temporary failure in name resolution",
    "ProxyError",
    "SSLError",
)


def main() -> int:
    if sys.version_info < OLDEST:
        return fail(f"Python 3.11 or later is needed, and this is {VERSION}: try `make PYTHON=python3.13 …`")
    stamp = FOLDER / "ready"
    wanted = hashlib.sha256(PINS.read_bytes()).hexdigest()
    there = version()
    works = there >= OLDEST and (there == sys.version_info[:2] or "--this-python" not in sys.argv)
    if works and stamp.is_file() and stamp.read_text() == wanted:
        return 0
    if FOLDER.exists() and not works:
        found = "has Python {}.{}".format(*there) if there else "is broken (its Python does not start)"
        say(f".venv {found}: making it anew with {VERSION}")
        shutil.rmtree(FOLDER)
    if not works:
        problem = make()
        if problem:
            return fail(problem)
    say("installing the pinned packages into .venv: once, about a minute")
    problem = install()
    if problem:
        return fail(problem)
    stamp.write_text(wanted)
    return 0


def version() -> "tuple[int, ...]":
    """Return the version of the environment's Python; empty if it does not start or has no pip."""
    check = "import sys, pip; print(*sys.version_info[:2])"
    try:
        done = subprocess.run([str(PYTHON), "-c", check], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ()
    return tuple(int(number) for number in done.stdout.split())


def make() -> str:
    """Make the environment. Return the problem; empty if there is none."""
    try:
        import ensurepip  # noqa: F401 - missing in Debian's Python, whose own message about it is long
        import venv
    except ImportError:
        return f"Python's venv module is missing: install it (Debian, Ubuntu: `apt install python{VERSION}-venv`)"
    try:
        # In a child process, because `venv.create` prints a traceback if it fails.
        subprocess.run([sys.executable, "-m", venv.__name__, str(FOLDER)], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        return f".venv could not be made ({type(error).__name__}): is {ROOT} writable, and is the disk full?"
    return ""


def install() -> str:
    """Install the pinned packages. Return the problem; empty if there is none."""
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--retries", "2"]
    pip = subprocess.Popen(
        [*command, "--progress-bar", "off", "--require-hashes", "-r", str(PINS)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PIP_NO_INPUT": "1", "PIP_QUIET": "0"},
    )
    total = len(re.findall(r"^[a-z0-9][\w.-]*(?:\[.*\])?==", PINS.read_text(), re.MULTILINE | re.IGNORECASE))
    said = watched(pip.stdout or (), total, sys.stdout, time.monotonic)
    if pip.wait() == 0:
        return ""
    if any(sign in said for sign in UNREACHED):
        return "the packages cannot be fetched: the package index is out of reach; check the network, or PIP_INDEX_URL"
    errors = [line for line in said.splitlines() if line.startswith("ERROR")] or said.splitlines()[-1:] or ["no output"]
    return f"pip could not install {PINS.name}: {errors[0]}"


def watched(lines: "Iterable[str]", total: int, screen: "TextIO", clock: "Callable[[], float]") -> str:
    """Return pip's whole output. Show the progress on `screen`: one changing line, or in a pipe a new line at times.

    lines: pip's output. total: number of pinned packages, including those for other systems. clock: seconds.
    """
    came: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in lines:
            came.put(line)
        came.put(None)

    threading.Thread(target=read, daemon=True).start()
    terminal = screen.isatty()
    pause = TERMINAL_SECONDS if terminal else PIPE_SECONDS
    said, found, doing, began = "", 0, "asking the package index", clock()
    shown_at = began
    while True:
        try:
            line = came.get(timeout=TERMINAL_SECONDS)
        except queue.Empty:
            line = ""  # the seconds continue while pip prints nothing
        if line is None:
            break
        said += line
        if line.startswith(("Collecting ", "Processing ")):
            found += 1
            doing = f"fetched {found} of up to {total} packages"
        elif line.startswith("Installing collected"):
            doing = f"unpacking {found} packages"
        if clock() - shown_at >= pause:
            shown_at = clock()
            text = f"  {doing} ({shown_at - began:.0f} s)"
            screen.write("\r" + text.ljust(70) if terminal else text + "\n")
            screen.flush()
    if terminal:
        screen.write("\r" + " " * 70 + "\r")
    return said


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def fail(problem: str) -> int:
    sys.stderr.write(problem + "\n")
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(fail("interrupted: the next `make` continues"))
